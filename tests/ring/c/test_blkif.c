/* The block codecs stay inside slots that are exactly as large as their ABI's (ASan watches). */
#include "pvdrivers/ring/blkif.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void test_requests(enum pv_abi abi)
{
    uint32_t size = pv_blkif_slot_size(abi);
    uint8_t *slot = malloc(size);

    for (unsigned operation = 0; operation < 256; operation++) {
        struct pv_blkif_request request;
        memset(slot, 0xff, size); /* counts far beyond what fits */
        slot[0] = (uint8_t)operation;
        pv_blkif_decode_request(abi, slot, &request);
        assert(request.operation == operation && request.id == UINT64_MAX);
        memset(slot, 0xaa, size);
        pv_blkif_encode_request(abi, &request, slot);

        struct pv_blkif_request again;
        pv_blkif_decode_request(abi, slot, &again);
        assert(again.operation == operation && again.id == UINT64_MAX);
        assert(again.nr_segments == request.nr_segments);
        assert(again.sector_number == request.sector_number);
    }
    free(slot);
}

static void test_responses(enum pv_abi abi)
{
    uint32_t size = abi == PV_ABI_X86_32 ? 12 : 16;
    uint8_t *slot = malloc(size);
    struct pv_blkif_response response = {.id = 7, .operation = 1, .status = BLKIF_RSP_ERROR}, again;

    pv_blkif_encode_response(abi, &response, slot);
    pv_blkif_decode_response(abi, slot, &again);
    assert(again.id == 7 && again.operation == 1 && again.status == BLKIF_RSP_ERROR);
    free(slot);
}

int main(void)
{
    for (int abi = 0; abi < PV_ABI_COUNT; abi++) {
        test_requests(abi);
        test_responses(abi);
    }
    return 0;
}
