/* The SCSI frontend against a backend that lies in every field it can write. */
#include "frontends/scsi/c/fake_scsiback.h"

#define COUNT 8u

static uint8_t data[COUNT][4096];
static struct pv_scsifront_command commands[COUNT];

/* A queue with eight reads on its ring: rqids 0 to 7. */
static struct pv_scsifront_queue *start(struct fake_scsiback *peer)
{
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        commands[i] = fake_command(VSCSIIF_FROM_DEVICE, i * 4096, data[i], 4096);
        fake_submit(queue, &commands[i]);
        assert(commands[i].rqid == i);
    }
    return queue;
}

static void expect_broken(struct fake_scsiback *peer, struct pv_scsifront_queue *queue,
                          enum pv_scsifront_violation violation)
{
    struct pv_scsifront_command *done[32], *command = &commands[0];
    struct pv_scsifront_stats stats;
    while (pv_scsifront_poll(queue, done, 32) > 0)
        ;
    assert(pv_scsifront_broken(queue) == violation);
    for (int again = 0; again < 3; again++) {
        assert(pv_scsifront_poll(queue, done, 32) == -EPROTO && pv_scsifront_arm(queue));
        assert(pv_scsifront_submit(queue, &command, 1) == -EPROTO);
    }
    pv_scsifront_get_stats(queue, &stats);
    assert(stats.violations == 1);
    char line[256];
    pv_scsifront_describe(queue, line, sizeof(line));
    assert(strstr(line, "broken"));
    pv_scsifront_stop(queue);
    unsigned left = pv_scsifront_outstanding(queue);
    assert(pv_scsifront_give_up(queue, done, 32) == (int)left);
    for (unsigned i = 0; i < left; i++)
        assert(done[i]->rslt == 8 << 16);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void respond_with(struct pv_vscsiif_response response, enum pv_scsifront_violation violation)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = start(peer);
    fake_answer(peer, 0, 0); /* a good one first */
    fake_respond(peer, &response);
    expect_broken(peer, queue, violation);
}

static void test_rqid_beyond_the_ring(void)
{
    respond_with((struct pv_vscsiif_response){.rqid = 16}, PV_SCSIFRONT_BAD_RQID);
    respond_with((struct pv_vscsiif_response){.rqid = UINT16_MAX}, PV_SCSIFRONT_BAD_RQID);
}

static void test_rqid_of_no_request(void)
{
    respond_with((struct pv_vscsiif_response){.rqid = 8}, PV_SCSIFRONT_IDLE_RQID);
}

static void test_answered_twice(void)
{
    respond_with((struct pv_vscsiif_response){.rqid = 0}, PV_SCSIFRONT_IDLE_RQID);
}

static void test_sense_beyond_the_buffer(void)
{
    respond_with((struct pv_vscsiif_response){.rqid = 1, .rslt = 2, .sense_len = 97},
                 PV_SCSIFRONT_SENSE_OVERFLOW);
    respond_with((struct pv_vscsiif_response){.rqid = 1, .rslt = 2, .sense_len = 255},
                 PV_SCSIFRONT_SENSE_OVERFLOW);
}

static void test_more_responses_than_requests(void)
{
    const uint32_t jumps[] = {9, 16, 17, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
        struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
        struct pv_scsifront_queue *queue = start(peer);
        pv_store_release(&peer->back.sring->rsp_prod, jumps[i]);
        expect_broken(peer, queue, PV_SCSIFRONT_RESPONSE_OVERFLOW);
    }
}

/* What an ABORT ended is answered twice: the first answer is a late one, the second is none. */
static void test_aborted_answered_twice(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = start(peer);
    struct pv_scsifront_command *done[4];
    struct pv_scsifront_command abort = {.act = VSCSIIF_ACT_SCSI_ABORT, .subject = &commands[5]};
    fake_submit(queue, &abort);
    fake_answer(peer, abort.rqid, VSCSIIF_RSLT_RESET_SUCCESS);
    assert(pv_scsifront_poll(queue, done, 4) == 2);
    fake_answer(peer, 5, 0);
    fake_expect(queue, NULL);
    fake_answer(peer, 5, 0);
    expect_broken(peer, queue, PV_SCSIFRONT_IDLE_RQID);
}

/* Any word is a result. */
static void test_every_result(void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
        struct pv_scsifront_queue *queue = start(peer);
        fake_answer(peer, 3, (int32_t)(1u << bit));
        fake_expect(queue, &commands[3]);
        assert(commands[3].rslt == (int32_t)(1u << bit));
        pv_scsifront_destroy(queue);
        fake_scsiback_destroy(peer, 0);
    }
}

/* Random bytes over the shared ring, again and again, while the frontend works. */
static void test_noise(void)
{
    srand(1);
    for (int run = 0; run < 300; run++) {
        struct fake_scsiback *peer = fake_scsiback_create((enum pv_abi)(run % PV_ABI_COUNT));
        struct pv_scsifront_queue *queue = start(peer);
        struct pv_scsifront_command *done[8];
        for (int step = 0; step < 4; step++) {
            uint8_t *bytes = (uint8_t *)peer->back.sring;
            fake_answer(peer, (uint16_t)(rand() % 9), 0);
            for (int flips = rand() % 3; flips > 0; flips--)
                bytes[rand() % 512] ^= (uint8_t)(1 << rand() % 8);
            int count = pv_scsifront_poll(queue, done, 8);
            assert(count == -EPROTO || (count >= 0 && count <= 8));
            pv_scsifront_arm(queue);
        }
        pv_scsifront_destroy(queue);
        fake_scsiback_destroy(peer, 0);
    }
}

int main(void)
{
    test_rqid_beyond_the_ring();
    test_rqid_of_no_request();
    test_answered_twice();
    test_sense_beyond_the_buffer();
    test_more_responses_than_requests();
    test_aborted_answered_twice();
    test_every_result();
    test_noise();
    return 0;
}
