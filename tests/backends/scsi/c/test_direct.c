/* Commands that the store carries out, and those that it does not. */
#include "tests/backends/scsi/c/loopback.h"

static struct scsi_loopback loop;

static void fill(grant_ref_t ref, uint8_t byte)
{
    memset(scsi_page(&loop, ref), byte, loop.guest.page_size);
}

/* Its unit is asked, and says GOOD. */
static void emulated(struct pv_vscsiif_request request)
{
    struct pv_vscsiif_response response;
    uint16_t rqid = scsi_put(&loop, request);
    scsi_pump(&loop);
    assert(!scsi_take(&loop, &response));
    scsi_finish(scsi_asked(&loop), 0, "");
    scsi_pump(&loop);
    assert(scsi_take(&loop, &response) && response.rqid == rqid && response.rslt == 0);
}

static void direct(struct pv_vscsiif_request request)
{
    struct pv_vscsiif_response response = scsi_one(&loop, request);
    assert(response.rslt == 0 && response.residual_len == 0);
    assert(loop.nexus->under_way == 0);
}

/* READ and WRITE of each length, at an address that needs its bytes. */
static void test_each_length(void)
{
    static const struct {
        uint8_t length, write[16], read[16];
    } cdbs[] = {
        {6, {0x0A, 0, 4, 1, 8}, {0x08, 0, 4, 1, 8}},
        {10, {0x2A, 0, 0, 0, 4, 2, 0, 0, 8}, {0x28, 0, 0, 0, 4, 2, 0, 0, 8}},
        {12, {0xAA, 0, 0, 0, 4, 3, 0, 0, 0, 8}, {0xA8, 0, 0, 0, 4, 3, 0, 0, 0, 8}},
        {16,
         {0x8A, 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 0, 0, 8},
         {0x88, 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 0, 0, 8}},
    };
    for (uint8_t i = 0; i < 4; i++) {
        fill(DATA, 0x10 + i);
        direct(scsi_cdb(&loop, cdbs[i].write, cdbs[i].length, VSCSIIF_TO_DEVICE, 4096));
        fill(DATA, 0);
        direct(scsi_cdb(&loop, cdbs[i].read, cdbs[i].length, VSCSIIF_FROM_DEVICE, 4096));
        assert(scsi_page(&loop, DATA)[0] == 0x10 + i && scsi_page(&loop, DATA)[4095] == 0x10 + i);
        uint8_t block[512];
        pv_blk_store_transfer(loop.store, PV_BLK_READ, 0x401 + i, 1, block, false);
        assert(block[0] == 0x10 + i);
    }
    assert(scsi_stats(&loop).rd_req == 4 && scsi_stats(&loop).wr_sect == 32);
}

static void test_read_6_of_no_blocks_is_of_256(void)
{
    const uint8_t cdb[6] = {0x08, 0, 0, 0, 0};
    struct pv_vscsiif_request request = scsi_cdb(&loop, cdb, 6, VSCSIIF_FROM_DEVICE, 26 * 4096);
    emulated(request); /* its segments are too few for that */
    struct pv_vscsiif_segment *list = (struct pv_vscsiif_segment *)scsi_page(&loop, 4);
    for (grant_ref_t i = 0; i < 32; i++)
        list[i] = (struct pv_vscsiif_segment){.gref = DATA + i, .length = 4096};
    request.nr_segments = VSCSIIF_SG_GRANT | 1;
    request.seg[0] = (struct pv_vscsiif_segment){.gref = 4, .length = 32 * 8};
    direct(request);
    assert(scsi_stats(&loop).rd_sect == 256);
}

/* A list of pieces in several parts, none of which begins or ends at a sector. */
static void test_odd_pieces(void)
{
    struct pv_vscsiif_segment *list = (struct pv_vscsiif_segment *)scsi_page(&loop, 4);
    for (int i = 0; i < 4096; i++)
        scsi_page(&loop, DATA)[i] = scsi_page(&loop, DATA + 1)[i] = (uint8_t)(i % 251);
    list[0] = (struct pv_vscsiif_segment){.gref = DATA, .offset = 7, .length = 1000};
    list[1] = (struct pv_vscsiif_segment){.gref = DATA + 1, .offset = 3, .length = 0};
    list[100] = (struct pv_vscsiif_segment){.gref = DATA + 1, .offset = 1, .length = 24};
    struct pv_vscsiif_request request = scsi_read_10(&loop, 5, 2, true);
    request.nr_segments = VSCSIIF_SG_GRANT | 2;
    request.seg[0] = (struct pv_vscsiif_segment){.gref = 4, .length = 16};
    request.seg[1] = (struct pv_vscsiif_segment){.gref = 4, .offset = 800, .length = 8};
    direct(request);
    uint8_t blocks[1024];
    pv_blk_store_transfer(loop.store, PV_BLK_READ, 5, 2, blocks, false);
    for (int i = 0; i < 1024; i++)
        assert(blocks[i] == (i < 1000 ? (i + 7) % 251 : (i - 1000 + 1) % 251));
}

static void test_unit_ready_and_cache(void)
{
    const uint8_t ready[6] = {0}, cache_10[10] = {0x35}, cache_16[16] = {0x91, 2};
    direct(scsi_cdb(&loop, ready, 6, VSCSIIF_NO_DATA, 0));
    direct(scsi_cdb(&loop, cache_10, 10, VSCSIIF_NO_DATA, 0));
    direct(scsi_cdb(&loop, cache_16, 16, VSCSIIF_NO_DATA, 0));
    assert(scsi_stats(&loop).tur_req == 1 && scsi_stats(&loop).f_req == 2);
    assert(scsi_stats(&loop).emulated == 0);
}

/* Each has one thing that is unusual. */
static void test_what_is_unusual_is_emulated(void)
{
    struct pv_vscsiif_request usual = scsi_read_10(&loop, 0, 8, false), request;
    const struct {
        int byte;
        uint8_t value;
    } changes[] = {{1, 0x20}, {1, 0x04}, {6, 1}, {6, 0x20}, {9, 4}, {2, 1}, {8, 7}, {8, 9}, {8, 0}};
    direct(usual);
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        request = usual;
        request.cmnd[changes[i].byte] = changes[i].value;
        emulated(request);
    }
    request = usual;
    request.cmd_len = 9;
    emulated(request);
    request = usual;
    request.sc_data_direction = VSCSIIF_BIDIRECTIONAL;
    emulated(request);
    request = usual;
    request.sc_data_direction = VSCSIIF_TO_DEVICE;
    emulated(request);
    emulated(scsi_read_10(&loop, BLOCKS - 7, 8, false)); /* one beyond the end */
    direct(scsi_read_10(&loop, BLOCKS - 8, 8, false));
    const uint8_t ready[6] = {0, 1}, cache[10] = {0x35, 0, 0, 0, 0x10, 1};
    emulated(scsi_cdb(&loop, ready, 6, VSCSIIF_NO_DATA, 0));
    emulated(scsi_cdb(&loop, cache, 10, VSCSIIF_NO_DATA, 0));
    const uint8_t far[16] = {0x88, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8};
    emulated(scsi_cdb(&loop, far, 16, VSCSIIF_FROM_DEVICE, 4096)); /* 2^61 blocks of 512 are 0 */
}

/* A CDB of 10 bytes may come in 16. */
static void test_trailing_bytes_are_ignored(void)
{
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    request.cmd_len = 16;
    memset(request.cmnd + 10, 0xEE, 6);
    direct(request);
}

static void test_what_is_not_permitted_is_emulated(void)
{
    const uint8_t ready[6] = {0}, cache[10] = {0x35};
    pv_scsi_nexus_permit(loop.nexus, true, false);
    direct(scsi_read_10(&loop, 0, 8, false));
    direct(scsi_cdb(&loop, ready, 6, VSCSIIF_NO_DATA, 0));
    emulated(scsi_read_10(&loop, 0, 8, true));
    emulated(scsi_cdb(&loop, cache, 10, VSCSIIF_NO_DATA, 0));
    pv_scsi_nexus_permit(loop.nexus, false, true);
    direct(scsi_read_10(&loop, 0, 8, true));
    emulated(scsi_read_10(&loop, 0, 8, false));
    pv_scsi_nexus_permit(loop.nexus, false, false);
    emulated(scsi_cdb(&loop, ready, 6, VSCSIIF_NO_DATA, 0));
    assert(loop.nexus->under_way == 0);
}

/* What the creator sees of a WRITE that is its own. */
static void test_data_of_an_emulated_write(void)
{
    pv_scsi_nexus_permit(loop.nexus, false, false);
    fill(DATA, 'a');
    fill(DATA + 1, 'b');
    scsi_put(&loop, scsi_read_10(&loop, 0, 9, true));
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    fill(DATA, 'c'); /* it has a copy */
    assert(command->data_out == 9 * 512 && command->room == 0 && command->cdb_length == 10);
    assert(command->cdb[0] == 0x2A && command->cdb[8] == 9);
    assert(command->data[0] == 'a' && command->data[4095] == 'a' && command->data[4096] == 'b');
    scsi_finish(command, 0, "");
    scsi_pump(&loop);
}

/* ---- A store whose operations take time ---------------------------------------------------- */

static void open_external(void)
{
    const struct pv_blk_geometry geometry = {
        .sectors = BLOCKS, .sector_size = 512, .can_flush = true};
    scsi_close(&loop);
    scsi_init(&loop, PV_ABI_X86_64, 128, pv_external_store_create(&geometry));
    scsi_connect(&loop);
}

static struct pv_blk_io *operation(enum pv_blk_op op)
{
    struct pv_blk_io *io;
    assert(pv_external_store_take(loop.store, &io, 1) == 1 && io->op == op);
    return io;
}

static void end(struct pv_blk_io *io, int status)
{
    io->status = status;
    pv_external_store_finish(loop.store, &io, 1);
    assert(is_readable(pv_scsiback_pollable(loop.back)->fd));
    scsi_pump(&loop);
}

static void arm(void)
{
    assert(!pv_scsiback_arm(loop.back));
}

/* FUA: on the medium before it is answered. */
static void test_write_with_fua(void)
{
    struct pv_vscsiif_response response;
    open_external();
    struct pv_vscsiif_request request = scsi_read_10(&loop, 3, 8, true);
    request.cmnd[1] = 0x08;
    fill(DATA, 0x77);
    scsi_put(&loop, request);
    scsi_pump(&loop);
    arm();
    struct pv_blk_io *io = operation(PV_BLK_WRITE);
    assert(io->sector == 3 && io->nr_sectors == 8 && io->iov_count == 1);
    assert(io->iov[0].iov_len == 4096 && ((uint8_t *)io->iov[0].iov_base)[4095] == 0x77);
    end(io, 0);
    assert(!scsi_take(&loop, &response));
    arm();
    end(operation(PV_BLK_FLUSH), 0);
    assert(scsi_take(&loop, &response) && response.rslt == 0);
}

static void test_read_of_a_slow_store(void)
{
    struct pv_vscsiif_response response;
    open_external();
    scsi_put(&loop, scsi_read_10(&loop, 8, 9, false));
    scsi_pump(&loop);
    arm();
    struct pv_blk_io *io = operation(PV_BLK_READ);
    memset(io->iov[0].iov_base, 0x42, io->iov[0].iov_len);
    assert(io->iov[0].iov_len == 9 * 512 && loop.nexus->under_way == 1);
    end(io, 0);
    assert(scsi_take(&loop, &response) && response.rslt == 0 && loop.nexus->under_way == 0);
    assert(scsi_page(&loop, DATA)[4095] == 0x42 && scsi_page(&loop, DATA + 1)[511] == 0x42);
    assert(scsi_page(&loop, DATA + 1)[512] == 0);
}

/* What the store fails goes to the creator, who finds out how, and knows the sense. */
static void test_store_error(void)
{
    struct pv_vscsiif_response response;
    const uint8_t sense[] = {0x70, 0, 3};
    open_external();
    fill(DATA, 0x55);
    scsi_put(&loop, scsi_read_10(&loop, 0, 8, true));
    scsi_pump(&loop);
    arm();
    end(operation(PV_BLK_WRITE), -EIO);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(command->data_out == 4096 && command->data[0] == 0x55 && loop.nexus->under_way == 0);
    scsi_end(command, 2, NULL, 0, sense, sizeof sense, 4096);
    scsi_pump(&loop);
    assert(scsi_take(&loop, &response) && response.rslt == 2 && response.residual_len == 4096);
    assert(response.sense_len == 3 && memcmp(response.sense, sense, 3) == 0);
    assert(scsi_stats(&loop).errors[PV_SCSIBACK_STORE_ERROR] == 1);
}

/* A command that needs the unit for itself waits for those that are under way. */
static void test_exclusion(void)
{
    struct pv_vscsiif_response response;
    open_external();
    uint16_t first = scsi_put(&loop, scsi_read_10(&loop, 0, 8, false));
    scsi_pump(&loop);
    assert(!pv_scsi_unit_exclude_direct(loop.unit));
    scsi_put(&loop, scsi_read_10(&loop, 8, 8, false));
    scsi_pump(&loop);
    struct pv_scsi_command *second = scsi_asked(&loop);
    assert(!is_readable(pv_scsi_unit_fd(loop.unit)));
    arm();
    end(operation(PV_BLK_READ), 0);
    assert(scsi_take(&loop, &response) && response.rqid == first);
    assert(is_readable(pv_scsi_unit_fd(loop.unit)) && pv_scsi_unit_exclude_direct(loop.unit));
    scsi_finish(second, 0, "");
    scsi_pump(&loop);
}

/* Several units in a guest may stand on different stores. */
static void test_two_stores(void)
{
    const uint8_t zeros[512] = {0}, ones[512] = {1};
    struct pv_blk_store *other = pv_ram_store_create(BLOCKS, 512);
    struct pv_scsi_unit *unit = pv_scsi_unit_create(other);
    struct pv_scsi_nexus *nexus = pv_scsi_unit_attach(unit, 1);
    struct pv_vscsiif_response response;
    const struct pv_scsiback_lun luns[] = {{0, 1, 2, loop.nexus}, {0, 1, 3, nexus}};
    pv_scsi_nexus_permit(nexus, true, true);
    assert(pv_scsiback_set_luns(loop.back, luns, 2) == 0);
    pv_blk_store_transfer(other, PV_BLK_WRITE, 0, 1, (void *)ones, false);
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 1, false);
    direct(request);
    assert(memcmp(scsi_page(&loop, DATA), zeros, 512) == 0);
    request.lun = 3;
    direct(request);
    assert(memcmp(scsi_page(&loop, DATA), ones, 512) == 0);
    for (uint16_t lun = 2; lun < 8; lun++) { /* in turn, of one pump */
        request.lun = 2 + lun % 2;
        scsi_put(&loop, request);
    }
    scsi_pump(&loop);
    for (unsigned i = 0; i < 6; i++)
        assert(scsi_take(&loop, &response) && response.rslt == 0);
    assert(loop.nexus->under_way == 0 && nexus->under_way == 0);
    assert(pv_scsiback_set_luns(loop.back, luns, 1) == 0);
    scsi_pump(&loop);
    assert(pv_scsi_nexus_detach(nexus) == 0 && pv_scsi_unit_destroy(unit) == 0);
    pv_blk_store_close(other);
}

/* 4096-byte blocks, and the 16 KiB pages and 64 slots of ia64. */
static void test_large_blocks_and_pages(void)
{
    scsi_close(&loop);
    scsi_init(&loop, PV_ABI_IA64, 128, pv_ram_store_create(BLOCKS, 4096));
    scsi_connect(&loop);
    assert(loop.guest.front.nr_ents == 64);
    const uint8_t cdb[10] = {0x2A, 0, 0, 0, 0, 1, 0, 0, 5};
    fill(DATA, 1);
    fill(DATA + 1, 2);
    direct(scsi_cdb(&loop, cdb, 10, VSCSIIF_TO_DEVICE, 5 * 4096));
    uint8_t block[4096];
    pv_blk_store_transfer(loop.store, PV_BLK_READ, 5 * 8, 8, block, false);
    assert(block[0] == 2 && block[4095] == 2);
    emulated(scsi_read_10(&loop, BLOCKS / 8, 1, false)); /* beyond its 512 blocks */
}

int main(void)
{
    void (*const tests[])(void) = {
        test_each_length,
        test_read_6_of_no_blocks_is_of_256,
        test_odd_pieces,
        test_unit_ready_and_cache,
        test_what_is_unusual_is_emulated,
        test_trailing_bytes_are_ignored,
        test_what_is_not_permitted_is_emulated,
        test_data_of_an_emulated_write,
        test_write_with_fua,
        test_read_of_a_slow_store,
        test_store_error,
        test_exclusion,
        test_two_stores,
        test_large_blocks_and_pages,
    };
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        scsi_open(&loop);
        tests[i]();
        scsi_close(&loop);
    }
    return 0;
}
