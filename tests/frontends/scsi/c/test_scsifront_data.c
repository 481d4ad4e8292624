/* Data of a SCSI frontend's commands: any length and place moves intact, through pool pages and in
 * place, in the slot's segments and in lists. */
#include "frontends/scsi/c/fake_scsiback.h"

#define MOST (2u << 20)

static uint8_t written[MOST + 4096], got[MOST + 4096];

static void fill(uint8_t *data, uint32_t length, uint32_t seed)
{
    for (uint32_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 7 + i / 509 * 13 + seed);
}

/* Written from one place, and read back into another. */
static void check_round(struct fake_scsiback *peer, struct pv_scsifront_queue *queue, uint8_t *from,
                        uint8_t *to, uint32_t length)
{
    uint32_t place = length * 3 % 4001;
    struct pv_scsifront_command command = fake_command(VSCSIIF_TO_DEVICE, place, from, length);
    fill(from, length, length);
    fake_run(peer, queue, &command);
    assert(command.rslt == 0 && command.residual == 0);
    assert(memcmp(peer->medium + place, from, length) == 0);

    fill(to, length + 1, 99);
    uint8_t behind = to[length];
    fill(peer->medium + place, length, length + 5);
    command = fake_command(VSCSIIF_FROM_DEVICE, place, to, length);
    fake_run(peer, queue, &command);
    assert(command.rslt == 0 && memcmp(peer->medium + place, to, length) == 0);
    assert(to[length] == behind && peer->guest.granted == 1); /* the ring */
}

static void check_lengths(enum pv_abi abi, uint32_t max_segments)
{
    struct fake_scsiback *peer = fake_scsiback_create(abi);
    struct pv_scsifront_queue *queue = fake_connect(peer, max_segments, 0);
    uint32_t page = peer->guest.hypervisor.page_size, most = pv_scsifront_max_length(queue);
    assert(most == (max_segments < 26 ? 26 : max_segments) * page);
    const uint32_t lengths[] = {1,         512,           page - 1,       page,       page + 1,
                                26 * page, 26 * page + 1, 512 * page - 3, 512 * page, MOST};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
        if (lengths[i] <= most && lengths[i] <= MOST)
            check_round(peer, queue, written + i, got + 3 * i, lengths[i]);
    assert((peer->lists > 0) == (max_segments > 26));
    struct pv_scsifront_stats stats;
    pv_scsifront_get_stats(queue, &stats);
    assert(stats.bytes_out == stats.bytes_in && stats.bytes_copied == 2 * stats.bytes_in);
    assert(stats.sg_grant_req == peer->lists && stats.errors == 0);
    assert(stats.grants_made == stats.grants_ended);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void test_lengths(void)
{
    for (enum pv_abi abi = 0; abi < PV_ABI_COUNT; abi++)
        for (int i = 0; i < 4; i++)
            check_lengths(abi, (uint32_t[]){0, 27, 128, 600}[i]);
}

/* Of the queue's own granted memory the backend gets the pages that the data lie in. */
static void test_buffers_are_not_copied(void)
{
    for (enum pv_abi abi = 0; abi < PV_ABI_COUNT; abi++) {
        struct fake_scsiback *peer = fake_scsiback_create(abi);
        uint32_t page = peer->guest.hypervisor.page_size;
        struct pv_scsifront_queue *queue = fake_connect(peer, 64, 100);
        uint8_t *buffers = pv_scsifront_buffers(queue);
        const uint32_t lengths[] = {1, page - 7, page, 26 * page - 9, 27 * page, 63 * page};
        for (uint32_t i = 0; i < 6; i++)
            check_round(peer, queue, buffers + 5 * i, buffers + page - 1 - i, lengths[i]);
        struct pv_scsifront_stats stats;
        pv_scsifront_get_stats(queue, &stats);
        assert(stats.bytes_copied == 0 && stats.grants_made == stats.grants_ended);
        /* One page too many where they lie, so they are copied. */
        check_round(peer, queue, buffers + 1, buffers + 1, 64 * page);
        pv_scsifront_get_stats(queue, &stats);
        assert(stats.bytes_copied == 128 * (uint64_t)page);
        pv_scsifront_destroy(queue);
        fake_scsiback_destroy(peer, 0);
    }
}

/* Two commands in one page of the buffers; the page stays granted until both are answered. */
static void test_buffer_in_two_commands(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 1);
    uint8_t *buffers = pv_scsifront_buffers(queue);
    struct pv_scsifront_command write = fake_command(VSCSIIF_TO_DEVICE, 0, buffers, 100);
    struct pv_scsifront_command read = fake_command(VSCSIIF_FROM_DEVICE, 512, buffers + 200, 100);
    struct pv_vscsiif_request requests[2];
    fill(buffers, 300, 1);
    fill(peer->medium + 512, 100, 77);
    fake_submit(queue, &write);
    fake_submit(queue, &read);
    fake_take(peer, &requests[0]);
    fake_take(peer, &requests[1]);
    fake_transfer(peer, &requests[0], 100);
    fake_answer(peer, requests[0].rqid, 0);
    fake_expect(queue, &write);
    fake_transfer(peer, &requests[1], 100);
    fake_answer(peer, requests[1].rqid, 0);
    fake_expect(queue, &read);
    assert(memcmp(peer->medium, buffers, 100) == 0);
    assert(memcmp(peer->medium + 512, buffers + 200, 100) == 0 && peer->guest.granted == 1);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void run_short(struct fake_scsiback *peer, struct pv_scsifront_queue *queue,
                      struct pv_scsifront_command *command,
                      const struct pv_vscsiif_response *answer)
{
    struct pv_vscsiif_request request;
    struct pv_vscsiif_response response = *answer;
    fake_submit(queue, command);
    fake_take(peer, &request);
    fake_transfer(peer, &request, UINT32_MAX);
    response.rqid = request.rqid;
    fake_respond(peer, &response);
    fake_expect(queue, command);
}

/* Nothing of a page is the command's data but what the backend says it has transferred. */
static void test_residuals(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    const struct {
        struct pv_vscsiif_response response;
        uint32_t residual;
    } cases[] = {
        {{.residual_len = 0}, 0},
        {{.residual_len = 904}, 904},
        {{.residual_len = 5000}, 5000},
        {{.residual_len = 5001}, 0}, /* an overflow: Linux' target counts what had no room */
        {{.residual_len = UINT32_MAX}, 0},
        {{.rslt = 2, .residual_len = 1000}, 1000}, /* CHECK CONDITION, as of a tape's short block */
        {{.rslt = 7 << 16, .residual_len = 0}, 5000},
        {{.rslt = 1 << 24, .residual_len = 0}, 5000},  /* as old backends say NO_CONNECT */
        {{.rslt = 8 << 24 | 2, .residual_len = 0}, 0}, /* as old ones say that there is sense */
    };
    fill(peer->medium, 5000, 3);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pv_scsifront_command command = fake_command(VSCSIIF_FROM_DEVICE, 0, got, 5000);
        memset(got, 0xee, 5000);
        run_short(peer, queue, &command, &cases[i].response);
        assert(command.rslt == cases[i].response.rslt && command.residual == cases[i].residual);
        uint32_t length = 5000 - command.residual;
        assert(memcmp(got, peer->medium, length) == 0);
        assert(length == 5000 || got[length] == 0xee);
    }
    struct pv_scsifront_stats stats;
    pv_scsifront_get_stats(queue, &stats);
    assert(stats.overflows == 2 && stats.errors == 4);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void test_sense(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command command = fake_command(VSCSIIF_NO_DATA, 0, NULL, 0);
    struct pv_vscsiif_response response = {.rslt = 2, .sense_len = 96};
    fill(response.sense, 96, 50);
    run_short(peer, queue, &command, &response);
    assert(command.sense_length == 96 && memcmp(command.sense, response.sense, 96) == 0);
    run_short(peer, queue, &command, &(struct pv_vscsiif_response){.rslt = 8});
    assert(command.sense_length == 0 && command.rslt == 8);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* A backend that keeps a page gets no more data of ours in it, and the page is never freed. */
static void test_leaks(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 1);
    uint8_t *buffers = pv_scsifront_buffers(queue);
    struct pv_scsifront_command command = fake_command(VSCSIIF_TO_DEVICE, 0, buffers, 4096);
    struct pv_vscsiif_request request;
    fake_submit(queue, &command);
    fake_take(peer, &request);
    grant_ref_t kept = request.seg[0].gref;
    peer->guest.grants[kept].busy = true;
    fake_answer(peer, request.rqid, 0);
    fake_expect(queue, &command);
    fill(buffers, 4096, 8);
    fake_submit(queue, &command);
    fake_take(peer, &request);
    assert(request.seg[0].gref != kept);
    assert(peer->guest.grants[request.seg[0].gref].page != peer->guest.grants[kept].page);
    fake_transfer(peer, &request, 4096);
    fake_answer(peer, request.rqid, 0);
    fake_expect(queue, &command);
    assert(memcmp(peer->medium, buffers, 4096) == 0);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 1);
}

/* Without grants for its data a command waits, and fails when nothing will give any back. */
static void test_no_grants(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command one = fake_command(VSCSIIF_TO_DEVICE, 0, written, 3 * 4096);
    struct pv_scsifront_command two = fake_command(VSCSIIF_TO_DEVICE, 0, written, 3 * 4096);
    struct pv_vscsiif_request request;
    peer->guest.most_grants = 1 + 4;
    fake_submit(queue, &one);
    fake_submit(queue, &two);
    assert(fake_waiting(peer) == 1 && peer->guest.granted == 1 + 3);
    fake_take(peer, &request);
    peer->guest.most_grants = 1 + 3;
    fake_answer(peer, request.rqid, 0);
    fake_expect(queue, &one);
    assert(fake_waiting(peer) == 1);
    fake_take(peer, &request);
    peer->guest.most_grants = 1 + 2;
    fake_answer(peer, request.rqid, 0);
    fake_expect(queue, &two);
    fake_submit(queue, &one);
    fake_expect(queue, &one);
    assert(one.rslt == 7 << 16 && one.residual == one.length && fake_waiting(peer) == 0);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

int main(void)
{
    test_lengths();
    test_buffers_are_not_copied();
    test_buffer_in_two_commands();
    test_residuals();
    test_sense();
    test_leaks();
    test_no_grants();
    return 0;
}
