/* What no frontend should send: each is answered, counted, and harms nothing else. */
#include "tests/backends/scsi/c/loopback.h"

static struct scsi_loopback loop;

/* It is answered so, and counted as that; and the queue works on. */
static void refused(struct pv_vscsiif_request request, int32_t rslt, enum pv_scsiback_error error)
{
    uint64_t before = scsi_stats(&loop).errors[error];
    struct pv_vscsiif_response response = scsi_one(&loop, request);
    assert(response.rslt == rslt && response.sense_len == 0 && response.residual_len == 0);
    assert(scsi_stats(&loop).errors[error] == before + 1);
    assert(!scsi_asks(&loop));
    assert(scsi_one(&loop, scsi_read_10(&loop, 0, 8, false)).rslt == 0);
}

static void test_unknown_lun(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.lun = 3;
    refused(request, NO_CONNECT, PV_SCSIBACK_NO_LUN);
    request.lun = 2;
    request.id = 0;
    refused(request, NO_CONNECT, PV_SCSIBACK_NO_LUN);
    request.id = 1;
    request.channel = 1;
    refused(request, NO_CONNECT, PV_SCSIBACK_NO_LUN);
}

/* As Linux has it: the LUN is looked up before anything else is. */
static void test_unknown_lun_of_a_bad_request(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.lun = 3;
    request.act = 99;
    request.sc_data_direction = 9;
    refused(request, NO_CONNECT, PV_SCSIBACK_NO_LUN);
}

static void test_bad_direction(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.sc_data_direction = 4;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_DIRECTION);
    request.sc_data_direction = 255;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_DIRECTION);
}

static void test_command_longer_than_16_bytes(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.cmd_len = 17;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_COMMAND_LENGTH);
    request.cmd_len = 255;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_COMMAND_LENGTH);
}

static void test_unknown_act(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    const uint8_t acts[] = {0, 5, 255};
    for (unsigned i = 0; i < sizeof acts; i++) {
        request.act = acts[i];
        refused(request, DID_ERROR, PV_SCSIBACK_BAD_ACT);
    }
}

static void test_segment_preset(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.act = VSCSIIF_ACT_SCSI_SG_PRESET;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_ACT);
}

static void test_too_many_segments(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    const uint8_t counts[] = {27, 127};
    for (unsigned i = 0; i < sizeof counts; i++) {
        request.nr_segments = counts[i];
        refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
    }
}

static void test_segment_beyond_its_page(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.seg[0] = (struct pv_vscsiif_segment){.gref = DATA, .offset = 1, .length = 4096};
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT);
    request.seg[0] = (struct pv_vscsiif_segment){.gref = DATA, .offset = 0xFFFF, .length = 0xFFFF};
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT);
}

static void test_bad_grant(void)
{
    loop.guest.bad_ref = 500;
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 16, false);
    request.seg[1].gref = 500;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_GRANT);
    request = scsi_read_10(&loop, 0, 16, true);
    request.seg[1].gref = 500;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_GRANT);
}

/* The unit has carried it out; where its data belong there is no page. */
static void test_bad_grant_for_the_data_of_a_unit(void)
{
    loop.guest.bad_ref = 500;
    struct pv_vscsiif_response response;
    struct pv_vscsiif_request request = scsi_inquiry(&loop, 36);
    request.seg[0].gref = 500;
    scsi_put(&loop, request);
    scsi_pump(&loop);
    scsi_finish(scsi_asked(&loop), 0, "data");
    scsi_pump(&loop);
    assert(scsi_take(&loop, &response) && response.rslt == DID_ERROR);
}

/* ---- Lists --------------------------------------------------------------------------------- */

#define LIST 4 /* the page */

static struct pv_vscsiif_segment *list(void)
{
    return (struct pv_vscsiif_segment *)scsi_page(&loop, LIST);
}

static struct pv_vscsiif_request with_list(uint16_t offset, uint16_t length)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    list()[0] = (struct pv_vscsiif_segment){.gref = DATA, .length = 4096};
    request.nr_segments = VSCSIIF_SG_GRANT | 1;
    request.seg[0] = (struct pv_vscsiif_segment){.gref = LIST, .offset = offset, .length = length};
    return request;
}

static void test_list_of_a_length_that_is_no_multiple_of_8(void)
{
    refused(with_list(0, 7), DID_ERROR, PV_SCSIBACK_BAD_LIST);
    refused(with_list(0, 12), DID_ERROR, PV_SCSIBACK_BAD_LIST);
    assert(scsi_one(&loop, with_list(0, 8)).rslt == 0);
}

static void test_list_beyond_its_page(void)
{
    refused(with_list(4096, 8), DID_ERROR, PV_SCSIBACK_BAD_LIST);
    refused(with_list(0xFFF8, 0xFFF8), DID_ERROR, PV_SCSIBACK_BAD_LIST);
}

static void test_list_that_is_empty(void)
{
    refused(with_list(0, 0), DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
    struct pv_vscsiif_request request = with_list(0, 8);
    request.nr_segments = VSCSIIF_SG_GRANT;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
}

static void test_list_longer_than_offered(void)
{
    refused(with_list(0, 129 * 8), DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
    struct pv_vscsiif_request request = with_list(0, 8);
    request.nr_segments = VSCSIIF_SG_GRANT | 26;
    for (int i = 0; i < 26; i++)
        request.seg[i] = (struct pv_vscsiif_segment){.gref = LIST, .length = 4096};
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
    request.nr_segments = VSCSIIF_SG_GRANT | 27;
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
}

static void test_list_with_a_segment_beyond_its_page(void)
{
    struct pv_vscsiif_request request = with_list(0, 16);
    list()[1] = (struct pv_vscsiif_segment){.gref = DATA, .offset = 4095, .length = 2};
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_SEGMENT);
}

static void test_list_that_is_not_granted(void)
{
    loop.guest.bad_ref = LIST;
    struct pv_vscsiif_request request = with_list(0, 8);
    refused(request, DID_ERROR, PV_SCSIBACK_BAD_GRANT);
}

static int change_list_after_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                                  unsigned count)
{
    int status = fake_copy(hypervisor, copies, count);
    list()[0] = (struct pv_vscsiif_segment){.gref = 0xFFFF, .offset = 0xFFFF, .length = 0xFFFF};
    return status;
}

/* What is checked is the copy, and what is used is what was checked. */
static void test_list_that_changes_while_it_is_read(void)
{
    struct pv_hypervisor_ops ops = fake_ops;
    ops.gnttab_copy = change_list_after_copy;
    loop.guest.hypervisor.ops = &ops;
    scsi_page(&loop, DATA)[0] = 1;
    assert(scsi_one(&loop, with_list(0, 8)).rslt == 0);
    assert(scsi_page(&loop, DATA)[0] == 0); /* the disk's */
    loop.guest.hypervisor.ops = &fake_ops;
}

static void test_list_where_none_was_offered(void)
{
    loop.config.max_segments = 0;
    assert(pv_scsiback_quiesce(loop.back, 1) && pv_scsiback_destroy(loop.back) == 0);
    scsi_connect(&loop);
    refused(with_list(0, 8), DID_ERROR, PV_SCSIBACK_BAD_SEGMENT_COUNT);
}

/* ---- The ring ------------------------------------------------------------------------------ */

static void test_overrun_ring(void)
{
    struct pv_sring *sring = (struct pv_sring *)loop.guest.memory;
    struct pv_vscsiif_response response;
    scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    sring->req_prod = sring->rsp_prod + 17;
    assert(pv_scsiback_pump(loop.back, 16, 1) == -EPROTO && pv_scsiback_broken(loop.back));
    assert(is_readable(loop.config.fault_fd));
    scsi_finish(command, 0, "data"); /* its end is not the guest's business any more */
    assert(pv_scsiback_pump(loop.back, 16, 1) == -EPROTO);
    assert(!scsi_take(&loop, &response) && pv_scsiback_in_flight(loop.back) == 0);
    assert(scsi_stats(&loop).ring_overruns == 1);
    char line[200];
    pv_scsiback_describe(loop.back, line, sizeof line);
    assert(strstr(line, "domain 7 port 5: broken, ring of 16, 0 in flight, 1 requests, 0 errors"));
}

static void test_ring_that_is_overrun_from_the_beginning(void)
{
    struct pv_sring *sring = (struct pv_sring *)loop.guest.memory;
    assert(pv_scsiback_quiesce(loop.back, 1) && pv_scsiback_destroy(loop.back) == 0);
    sring->req_prod = sring->rsp_prod + 17;
    assert(!pv_scsiback_create(&loop.config) && errno == EIO);
    assert(loop.guest.mapped == 0 && !loop.guest.bound);
    sring->req_prod = sring->rsp_prod;
    scsi_connect(&loop);
}

/* An ABI whose pages the guest does not have. */
static void test_lying_abi(void)
{
    assert(pv_scsiback_quiesce(loop.back, 1) && pv_scsiback_destroy(loop.back) == 0);
    loop.config.abi = PV_ABI_IA64;
    assert(!pv_scsiback_create(&loop.config) && errno == EPROTO && loop.guest.mapped == 0);
    loop.config.abi = PV_ABI_X86_32;
    scsi_connect(&loop);
}

int main(void)
{
    void (*const tests[])(void) = {
        test_unknown_lun,
        test_unknown_lun_of_a_bad_request,
        test_bad_direction,
        test_command_longer_than_16_bytes,
        test_unknown_act,
        test_segment_preset,
        test_too_many_segments,
        test_segment_beyond_its_page,
        test_bad_grant,
        test_bad_grant_for_the_data_of_a_unit,
        test_list_of_a_length_that_is_no_multiple_of_8,
        test_list_beyond_its_page,
        test_list_that_is_empty,
        test_list_longer_than_offered,
        test_list_with_a_segment_beyond_its_page,
        test_list_that_is_not_granted,
        test_list_that_changes_while_it_is_read,
        test_list_where_none_was_offered,
        test_overrun_ring,
        test_ring_that_is_overrun_from_the_beginning,
        test_lying_abi,
    };
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        scsi_init(&loop, PV_ABI_X86_64, 128, pv_ram_store_create(BLOCKS, 512));
        loop.config.fault_fd = eventfd(0, EFD_NONBLOCK);
        scsi_connect(&loop);
        tests[i]();
        close(loop.config.fault_fd);
        scsi_close(&loop);
    }
    return 0;
}
