/* A workload's operations as commands of a disk or a tape, and what their answers make of them. */
#include "frontends/scsi/c/fake_scsiback.h"
#include "tools/pvbench/load/lun.h"

#include <errno.h>

struct bench {
    struct fake_scsiback *peer;
    struct pv_scsifront_queue *front;
    struct pv_load_lun *lun;
    struct pv_load_queue queue;
    struct pv_blkfront_io *done[4];
};

static struct bench open_unit(struct pv_load_lun_config config)
{
    struct bench bench = {.peer = fake_scsiback_create(PV_ABI_X86_64)};
    bench.front = fake_connect(bench.peer, 128, 0);
    config.queue = bench.front;
    config.channel = 1;
    config.target = 2;
    config.lun = 3;
    config.commands = 4;
    bench.lun = pv_load_lun_create(&config);
    assert(bench.lun);
    bench.queue = pv_load_lun_queue(bench.lun);
    return bench;
}

static struct bench open_bench(uint32_t block_size)
{
    return open_unit((struct pv_load_lun_config){.block_size = block_size});
}

static void end_bench(struct bench *bench)
{
    pv_load_lun_destroy(bench->lun);
    pv_scsifront_destroy(bench->front);
    fake_scsiback_destroy(bench->peer, 0);
}

static void submit(struct bench *bench, struct pv_blkfront_io *io)
{
    io->status = 99;
    assert(bench->queue.ops->submit(bench->queue.front, &io, 1) == 0);
}

static int poll(struct bench *bench)
{
    return bench->queue.ops->poll(bench->queue.front, bench->done, 4);
}

static void expect(struct bench *bench, struct pv_blkfront_io *io, int status)
{
    assert(poll(bench) == 1 && bench->done[0] == io && io->status == status);
}

/* The command that an operation becomes; it succeeds. */
static struct pv_vscsiif_request command_of(struct bench *bench, struct pv_blkfront_io io)
{
    struct pv_vscsiif_request request;
    submit(bench, &io);
    fake_take(bench->peer, &request);
    assert(request.channel == 1 && request.id == 2 && request.lun == 3);
    fake_answer(bench->peer, request.rqid, 0);
    expect(bench, &io, 0);
    return request;
}

static void check_cdb(const struct pv_vscsiif_request *request, uint8_t direction, uint8_t length,
                      const uint8_t *cdb)
{
    assert(request->sc_data_direction == direction && request->cmd_len == length);
    assert(memcmp(request->cmnd, cdb, length) == 0);
}

static void test_operations(void)
{
    static uint8_t data[8192];
    struct bench bench = open_bench(4096);
    struct pv_blkfront_io io = {.sector = 8 * 0x12345, .nr_sectors = 16, .data = data};
    struct pv_vscsiif_request request;

    io.operation = BLKIF_OP_READ;
    request = command_of(&bench, io);
    check_cdb(&request, VSCSIIF_FROM_DEVICE, 10,
              (uint8_t[]){0x28, 0, 0x00, 0x01, 0x23, 0x45, 0, 0, 2, 0});

    io.operation = BLKIF_OP_WRITE;
    request = command_of(&bench, io);
    check_cdb(&request, VSCSIIF_TO_DEVICE, 10,
              (uint8_t[]){0x2a, 0, 0x00, 0x01, 0x23, 0x45, 0, 0, 2, 0});

    io.sector = 8ull << 32;
    request = command_of(&bench, io);
    check_cdb(&request, VSCSIIF_TO_DEVICE, 16,
              (uint8_t[]){0x8a, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0});

    io.operation = BLKIF_OP_READ;
    request = command_of(&bench, io);
    check_cdb(&request, VSCSIIF_FROM_DEVICE, 16,
              (uint8_t[]){0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0});

    request = command_of(&bench, (struct pv_blkfront_io){.operation = BLKIF_OP_FLUSH_DISKCACHE});
    check_cdb(&request, VSCSIIF_NO_DATA, 10, (uint8_t[]){0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    end_bench(&bench);
}

static void test_discard_names_its_blocks_in_the_data(void)
{
    struct bench bench = open_bench(512);
    struct pv_blkfront_io io = {
        .operation = BLKIF_OP_DISCARD, .sector = 0x1122334455ull, .nr_sectors = 0x060708};
    struct pv_vscsiif_request request;
    submit(&bench, &io);
    fake_take(bench.peer, &request);
    check_cdb(&request, VSCSIIF_TO_DEVICE, 10, (uint8_t[]){0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0});
    assert(fake_transfer(bench.peer, &request, UINT32_MAX) == 24);
    const uint8_t parameters[24] = {0, 22,   0,    16,   0,    0,    0, 0,    0,    0,
                                    0, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0x06, 0x07, 0x08};
    assert(memcmp(bench.peer->medium, parameters, sizeof(parameters)) == 0);
    fake_answer(bench.peer, request.rqid, 0);
    expect(&bench, &io, 0);
    end_bench(&bench);
}

static void test_reads_that_move_no_blocks(void)
{
    static uint8_t data[512];
    struct pv_blkfront_io io = {.operation = BLKIF_OP_READ, .nr_sectors = 1, .data = data};
    struct pv_vscsiif_request request;
    struct bench bench = open_unit(
        (struct pv_load_lun_config){.reads = PV_LOAD_LUN_TEST_UNIT_READY, .block_size = 512});
    request = command_of(&bench, io);
    check_cdb(&request, VSCSIIF_NO_DATA, 6, (uint8_t[]){0, 0, 0, 0, 0, 0});
    assert(request.nr_segments == 0);
    io.operation = BLKIF_OP_WRITE;
    request = command_of(&bench, io);
    check_cdb(&request, VSCSIIF_TO_DEVICE, 10, (uint8_t[]){0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0});
    end_bench(&bench);

    bench =
        open_unit((struct pv_load_lun_config){.reads = PV_LOAD_LUN_MODE_SENSE, .block_size = 512});
    io.operation = BLKIF_OP_READ;
    submit(&bench, &io);
    fake_take(bench.peer, &request);
    check_cdb(&request, VSCSIIF_FROM_DEVICE, 6, (uint8_t[]){0x1a, 0, 8, 0, 192, 0});
    assert(request.seg[0].length == 192);
    fake_respond(bench.peer,
                 &(struct pv_vscsiif_response){.rqid = request.rqid, .residual_len = 160});
    expect(&bench, &io, 0);
    end_bench(&bench);
}

/* Behind its last record a tape is written from its start on. */
static void test_a_tape(void)
{
    static uint8_t data[2][4096];
    struct bench bench = open_unit((struct pv_load_lun_config){.is_tape = true, .block_size = 512});
    const uint8_t write[6] = {0x0a, 0, 0, 0x10, 0, 0}, rewind[6] = {0x01, 0, 0, 0, 0, 0};
    struct pv_blkfront_io ios[2], *list[2] = {&ios[0], &ios[1]};
    struct pv_vscsiif_request requests[3];
    for (uint32_t i = 0; i < 2; i++)
        ios[i] = (struct pv_blkfront_io){
            .operation = BLKIF_OP_WRITE, .sector = 8 * i, .nr_sectors = 8, .data = data[i]};

    requests[0] = command_of(&bench, ios[0]); /* it is there at first */
    check_cdb(&requests[0], VSCSIIF_TO_DEVICE, 6, write);
    assert(bench.queue.ops->submit(bench.queue.front, list, 2) == 0);
    for (int i = 0; i < 3; i++)
        fake_take(bench.peer, &requests[i]);
    check_cdb(&requests[0], VSCSIIF_NO_DATA, 6, rewind);
    check_cdb(&requests[1], VSCSIIF_TO_DEVICE, 6, write);
    check_cdb(&requests[2], VSCSIIF_TO_DEVICE, 6, write);
    fake_answer(bench.peer, requests[0].rqid, 0);
    assert(poll(&bench) == 0);
    fake_answer(bench.peer, requests[1].rqid, 0);
    fake_answer(bench.peer, requests[2].rqid, 0);
    assert(poll(&bench) == 2 && bench.done[0] == &ios[0] && bench.done[1] == &ios[1]);

    requests[0] =
        command_of(&bench, (struct pv_blkfront_io){.operation = BLKIF_OP_FLUSH_DISKCACHE});
    check_cdb(&requests[0], VSCSIIF_NO_DATA, 6, (uint8_t[]){0x10, 0, 0, 0, 0, 0});
    end_bench(&bench);
}

static void answer_sense(struct bench *bench, uint8_t key, uint8_t code)
{
    struct pv_vscsiif_request request;
    fake_take(bench->peer, &request);
    struct pv_vscsiif_response response = {.rqid = request.rqid, .rslt = 2, .sense_len = 18};
    response.sense[0] = 0x70;
    response.sense[2] = key;
    response.sense[12] = code;
    fake_respond(bench->peer, &response);
}

static void test_a_unit_attention_is_no_answer(void)
{
    static uint8_t data[512];
    struct bench bench = open_bench(512);
    struct pv_blkfront_io io = {.operation = BLKIF_OP_READ, .nr_sectors = 1, .data = data};
    submit(&bench, &io);
    for (int i = 0; i < 3; i++) {
        answer_sense(&bench, 6, 0x29);
        assert(poll(&bench) == 0 && io.status == 99);
    }
    bench.peer->medium[7] = 7;
    fake_serve(bench.peer);
    expect(&bench, &io, 0);
    assert(data[7] == 7);
    end_bench(&bench);
}

static void test_failures(void)
{
    static uint8_t data[512];
    struct bench bench = open_bench(512);
    struct pv_blkfront_io io = {.operation = BLKIF_OP_WRITE, .nr_sectors = 1, .data = data};
    struct pv_vscsiif_request request;
    submit(&bench, &io);
    answer_sense(&bench, 3, 0x0c); /* medium error */
    expect(&bench, &io, -EIO);
    submit(&bench, &io);
    answer_sense(&bench, 5, 0x20); /* invalid operation code */
    expect(&bench, &io, -EOPNOTSUPP);
    submit(&bench, &io);
    fake_take(bench.peer, &request);
    fake_respond(bench.peer,
                 &(struct pv_vscsiif_response){.rqid = request.rqid, .residual_len = 1});
    expect(&bench, &io, -EIO);
    submit(&bench, &io);
    fake_take(bench.peer, &request);
    fake_answer(bench.peer, request.rqid, 1 << 16); /* NO_CONNECT */
    expect(&bench, &io, -EIO);
    end_bench(&bench);
}

/* All are taken or none, and each can be used again. */
static void test_commands_are_limited(void)
{
    static uint8_t data[5][512];
    struct bench bench = open_bench(512);
    struct pv_blkfront_io ios[5], *list[5];
    for (int i = 0; i < 5; i++) {
        ios[i] =
            (struct pv_blkfront_io){.operation = BLKIF_OP_READ, .nr_sectors = 1, .data = data[i]};
        list[i] = &ios[i];
    }
    for (int i = 0; i < 3; i++) {
        assert(bench.queue.ops->submit(bench.queue.front, list, 5) == -EINVAL);
        assert(bench.queue.ops->submit(bench.queue.front, list, 4) == 0);
        fake_serve(bench.peer);
        assert(poll(&bench) == 4);
    }
    end_bench(&bench);
}

static void test_configurations_without_sense(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_load_lun_config config = {
        .queue = fake_connect(peer, 0, 0), .block_size = 512, .commands = 1};
    struct pv_load_lun_config without_queue = config, odd = config, none = config;
    without_queue.queue = NULL;
    odd.block_size = 500;
    none.commands = 0;
    assert(!pv_load_lun_create(&without_queue) && errno == EINVAL);
    assert(!pv_load_lun_create(&odd) && errno == EINVAL);
    assert(!pv_load_lun_create(&none) && errno == EINVAL);
    pv_load_lun_destroy(NULL);
    pv_scsifront_destroy(config.queue);
    fake_scsiback_destroy(peer, 0);
}

int main(void)
{
    test_operations();
    test_discard_names_its_blocks_in_the_data();
    test_reads_that_move_no_blocks();
    test_a_tape();
    test_a_unit_attention_is_no_answer();
    test_failures();
    test_commands_are_limited();
    test_configurations_without_sense();
    return 0;
}
