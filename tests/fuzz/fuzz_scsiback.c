/* A SCSI backend between a guest that writes any bytes to its ring and its lists, and a unit that
 * ends commands when and how it likes: no memory is touched that should not be, every request taken
 * is answered once, and in the end everything is given back.
 * Input: options (1 byte), then steps: a byte that says what to do, and what it needs. */
#define GUEST_PAGES 64 /* little to clear for each input */
#include "tests/backends/scsi/c/loopback.h"
#include "tests/fuzz/input.h"

#define MAX_STEPS 500
#define LIST 4

static uint8_t take_byte(struct input *input)
{
    uint8_t value;
    take(input, &value, 1);
    return value;
}

static struct pv_scsi_command *held[64];
static uint32_t held_count;
static uint64_t put_count, answer_count;

static void connect(struct scsi_loopback *loop, uint8_t options)
{
    const struct pv_blk_geometry geometry = {
        .sectors = 1024, .sector_size = options & 4 ? 4096 : 512, .can_flush = options & 8};
    struct pv_blk_store *store = options & 2 ? pv_external_store_create(&geometry)
                                             : pv_ram_store_create(1024, geometry.sector_size);
    scsi_init(loop, options & 1 ? PV_ABI_IA64 : PV_ABI_X86_64, options & 16 ? 0 : 64, store);
    scsi_connect(loop);
    held_count = 0;
    put_count = answer_count = 0;
}

static bool has_room(const struct scsi_loopback *loop)
{
    return pv_front_free_requests(&loop->guest.front) > 0 && !pv_scsiback_broken(loop->back);
}

static void put_slot(struct scsi_loopback *loop, const void *slot)
{
    memcpy(pv_front_request_slot(&loop->guest.front, loop->guest.front.req_prod_pvt++), slot,
           VSCSIIF_SLOT_SIZE);
    put_count++;
}

/* One that is right but for what the input changes. */
static void put_request(struct scsi_loopback *loop, struct input *input)
{
    uint8_t bits = take_byte(input), cdb[16], slot[VSCSIIF_SLOT_SIZE];
    take(input, cdb, sizeof cdb);
    struct pv_vscsiif_request request = scsi_cdb(loop, cdb, 16, bits & 3, (bits >> 2) * 512u);
    if (bits & 128) {
        request.nr_segments = VSCSIIF_SG_GRANT | 1;
        request.seg[0] =
            (struct pv_vscsiif_segment){.gref = LIST, .length = (uint16_t)(8 * (bits & 0x7F))};
    }
    request.rqid = (uint16_t)put_count;
    memset(slot, 0, sizeof slot);
    pv_vscsiif_encode_request(&request, slot);
    slot[take_byte(input) % 240] ^= take_byte(input);
    put_slot(loop, slot);
}

static void put_task_management(struct scsi_loopback *loop, struct input *input)
{
    uint8_t bits = take_byte(input), slot[VSCSIIF_SLOT_SIZE] = {0};
    struct pv_vscsiif_request request = {.rqid = (uint16_t)put_count,
                                         .act = 2 + (bits & 1),
                                         .id = 1,
                                         .lun = 2,
                                         .ref_rqid = (uint16_t)(put_count - (bits >> 1)),
                                         .sc_data_direction = VSCSIIF_NO_DATA};
    pv_vscsiif_encode_request(&request, slot);
    put_slot(loop, slot);
}

static void take_answers(struct scsi_loopback *loop)
{
    struct pv_vscsiif_response response;
    while (scsi_take(loop, &response)) {
        assert(response.sense_len <= VSCSIIF_SENSE_BUFFERSIZE);
        answer_count++;
    }
    assert(answer_count <= put_count);
}

static void take_commands(struct scsi_loopback *loop)
{
    held_count += pv_scsi_unit_take(loop->unit, held + held_count, 64 - held_count);
}

static void finish(struct pv_scsi_command *command, struct input *input)
{
    uint8_t bits = take_byte(input);
    static uint8_t data[4096];
    uint32_t size = bits * 16u;
    for (uint32_t i = 0; i < command->data_out; i += 64) /* as its creator does */
        data[i % sizeof data] ^= command->data[i];
    int32_t result = command->reset ? 0x2002 : bits;
    scsi_end(command, result, data, size, data, bits, size);
}

static void finish_one(struct input *input)
{
    if (held_count == 0)
        return;
    uint32_t which = take_byte(input) % held_count;
    struct pv_scsi_command *command = held[which];
    held[which] = held[--held_count];
    finish(command, input);
}

static void end_io(struct scsi_loopback *loop, int status)
{
    struct pv_blk_io *io;
    if (strcmp(loop->store->ops->name, "external") != 0)
        return;
    while (pv_external_store_take(loop->store, &io, 1)) {
        io->status = status;
        pv_external_store_finish(loop->store, &io, 1);
    }
}

static void step(struct scsi_loopback *loop, struct input *input)
{
    uint8_t what = take_byte(input), slot[VSCSIIF_SLOT_SIZE];
    const struct pv_scsiback_lun luns[] = {{0, 1, 2, loop->nexus}, {0, 1, 3, loop->nexus}};
    switch (what % 10) {
    case 0: /* one slot of any content */
        take(input, slot, sizeof slot);
        if (has_room(loop))
            put_slot(loop, slot);
        break;
    case 1:
    case 2:
        if (has_room(loop))
            put_request(loop, input);
        break;
    case 3:
        if (has_room(loop))
            put_task_management(loop, input);
        break;
    case 4:
        scsi_pump(loop);
        take_commands(loop);
        take_answers(loop);
        break;
    case 5:
        finish_one(input);
        break;
    case 6:
        end_io(loop, what & 16 ? -EIO : 0);
        break;
    case 7: /* part of a list */
        take(input, scsi_page(loop, LIST) + 8 * (what / 10), 16);
        break;
    case 8:
        pv_scsi_nexus_permit(loop->nexus, what & 16, what & 32);
        if (what & 64)
            pv_scsi_unit_exclude_direct(loop->unit);
        if (what & 128)
            assert(pv_scsiback_set_luns(loop->back, luns, what / 10 % 3) == 0);
        break;
    case 9: /* more requests than there is room for, once in a while */
        if (what > 240)
            ((struct pv_sring *)loop->guest.memory)->req_prod += 65;
        pv_scsiback_pump(loop->back, what, loop->guest.now);
        break;
    }
}

/* Everything that was taken ends, and so may the queue. */
static void end(struct scsi_loopback *loop, struct input *input)
{
    while (!pv_scsiback_quiesce(loop->back, loop->guest.now)) {
        end_io(loop, 0);
        take_commands(loop);
        while (held_count > 0)
            finish_one(input);
    }
    if (!pv_scsiback_broken(loop->back))
        take_answers(loop);
    const struct pv_scsiback_stats stats = scsi_stats(loop);
    assert(pv_scsiback_broken(loop->back) || stats.requests == stats.responses);
    assert(loop->nexus->under_way == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scsi_loopback loop;
    struct input input = {data, size};
    connect(&loop, take_byte(&input));
    for (int i = 0; i < MAX_STEPS && input.left > 0; i++)
        step(&loop, &input);
    end(&loop, &input);
    scsi_close(&loop);
    return 0;
}
