/* The block frontend against a backend that lies in every field it can write. */
#include "frontends/vbd/c/fake_peer.h"

static uint8_t data[8][4096];
static struct pv_blkfront_io ios[8];

/* A queue with eight reads in flight: ids 0 to 7. */
static struct pv_blkfront_queue *start(struct fake_peer *peer)
{
    struct pv_blkfront_config config = {.hypervisor = &peer->guest.hypervisor,
                                        .evtchn = (struct pv_evtchn *)peer,
                                        .ring_pages = 1,
                                        .trusted = true};
    struct pv_blkfront_features features = {.sector_size = 512};
    struct pv_blkfront_queue *queue = pv_blkfront_create(&config);
    assert(queue && pv_blkfront_connect(queue, &features) == 0);
    fake_back_attach(peer, queue);
    for (unsigned i = 0; i < 8; i++) {
        ios[i] = (struct pv_blkfront_io){
            .operation = BLKIF_OP_READ, .sector = i * 8, .nr_sectors = 8, .data = data[i]};
        struct pv_blkfront_io *io = &ios[i];
        assert(pv_blkfront_submit(queue, &io, 1) == 0);
    }
    return queue;
}

static void expect_broken(struct fake_peer *peer, struct pv_blkfront_queue *queue,
                          enum pv_blkfront_violation violation)
{
    struct pv_blkfront_io *done[32], *io = &ios[0];
    struct pv_blkfront_stats stats;
    while (pv_blkfront_poll(queue, done, 32) > 0)
        ;
    assert(pv_blkfront_broken(queue) == violation);
    for (int again = 0; again < 3; again++) {
        assert(pv_blkfront_poll(queue, done, 32) == -EPROTO && pv_blkfront_arm(queue));
        assert(pv_blkfront_submit(queue, &io, 1) == -EPROTO);
    }
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.violations == 1);
    char line[256];
    pv_blkfront_describe(queue, line, sizeof(line));
    assert(strstr(line, "broken"));
    pv_blkfront_stop(queue);
    unsigned left = pv_blkfront_outstanding(queue);
    assert(pv_blkfront_give_up(queue, done, 32) == (int)left);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void answer_with(uint64_t id, uint8_t operation, enum pv_blkfront_violation violation)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct pv_blkfront_queue *queue = start(peer);
    fake_answer(peer, 0, BLKIF_OP_READ, BLKIF_RSP_OKAY); /* a good one first */
    fake_answer(peer, id, operation, BLKIF_RSP_OKAY);
    expect_broken(peer, queue, violation);
}

static void test_bad_fields(void)
{
    answer_with(32, BLKIF_OP_READ, PV_BLKFRONT_BAD_ID);
    answer_with(UINT64_MAX, BLKIF_OP_READ, PV_BLKFRONT_BAD_ID);
    answer_with(1ull << 32, BLKIF_OP_READ, PV_BLKFRONT_BAD_ID); /* its low half is in flight */
    answer_with(8, BLKIF_OP_READ, PV_BLKFRONT_IDLE_ID);
    answer_with(0, BLKIF_OP_READ, PV_BLKFRONT_IDLE_ID); /* twice */
    for (unsigned operation = 1; operation < 256; operation += operation < 8 ? 1 : 31)
        answer_with(1, (uint8_t)operation, PV_BLKFRONT_WRONG_OPERATION);
}

static void test_bad_index(void)
{
    const uint32_t jumps[] = {9, 32, 33, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
        struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
        struct pv_blkfront_queue *queue = start(peer);
        pv_store_release(&peer->back.sring->rsp_prod, jumps[i]);
        expect_broken(peer, queue, PV_BLKFRONT_RESPONSE_OVERFLOW);
    }
}

/* Any status is an answer; only 0 is success. */
static void test_every_status(void)
{
    for (int status = INT16_MIN; status <= INT16_MAX; status += 2048) {
        struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
        struct pv_blkfront_queue *queue = start(peer);
        struct pv_blkfront_io *done[8];
        fake_answer(peer, 3, BLKIF_OP_READ, (int16_t)status);
        assert(pv_blkfront_poll(queue, done, 8) == 1 && done[0] == &ios[3]);
        assert(ios[3].status == (status == 0 ? 0 : -EIO));
        pv_blkfront_destroy(queue);
        fake_peer_destroy(peer, 0);
    }
}

/* Random bytes over the shared ring, again and again, while the frontend works. */
static void test_noise(void)
{
    srand(1);
    for (int run = 0; run < 300; run++) {
        struct fake_peer *peer = fake_peer_create((enum pv_abi)(run % PV_ABI_COUNT));
        struct pv_blkfront_queue *queue = start(peer);
        struct pv_blkfront_io *done[8];
        for (int step = 0; step < 4; step++) {
            struct pv_sring *sring = peer->back.sring;
            fake_answer(peer, (uint64_t)rand() % 9, BLKIF_OP_READ, BLKIF_RSP_OKAY);
            uint8_t *bytes = (uint8_t *)sring;
            for (int flips = rand() % 3; flips > 0; flips--)
                bytes[rand() % 256] ^= (uint8_t)(1 << rand() % 8);
            int count = pv_blkfront_poll(queue, done, 8);
            assert(count == -EPROTO || (count >= 0 && count <= 8));
            pv_blkfront_arm(queue);
        }
        pv_blkfront_destroy(queue);
        fake_peer_destroy(peer, 0);
    }
}

int main(void)
{
    test_bad_fields();
    test_bad_index();
    test_every_status();
    test_noise();
    return 0;
}
