/* The SCSI codecs stay inside slots that are exactly as large as they are (ASan watches). */
#include "pvdrivers/ring/vscsiif.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void test_requests(void)
{
    uint8_t *slot = malloc(VSCSIIF_SLOT_SIZE);
    for (unsigned nr_segments = 0; nr_segments < 256; nr_segments++) {
        struct pv_vscsiif_request request = {.rqid = 0}, again = {.rqid = 0};
        memset(slot, 0xff, VSCSIIF_SLOT_SIZE);
        slot[31] = (uint8_t)nr_segments; /* nr_segments, often far beyond what fits */
        pv_vscsiif_decode_request(slot, &request);
        assert(request.rqid == 0xffff && request.nr_segments == nr_segments);
        memset(slot, 0xaa, VSCSIIF_SLOT_SIZE);
        pv_vscsiif_encode_request(&request, slot);
        assert(slot[20] == 0 && slot[21] == 0); /* timeout_per_command */
        for (size_t i = pv_vscsiif_request_size(slot); i < VSCSIIF_SLOT_SIZE; i++)
            assert(slot[i] == 0xaa);
        pv_vscsiif_decode_request(slot, &again);
        assert(memcmp(&request, &again, sizeof request) == 0);
    }
    free(slot);
}

static void test_responses(void)
{
    uint8_t *slot = malloc(VSCSIIF_SLOT_SIZE);
    for (unsigned sense_len = 0; sense_len < 256; sense_len++) {
        struct pv_vscsiif_response response = {.rqid = 7, .rslt = 2, .residual_len = 512}, again;
        response.sense_len = (uint8_t)sense_len;
        memset(response.sense, 0x55, sizeof response.sense);
        memset(slot, 0xaa, VSCSIIF_SLOT_SIZE);
        pv_vscsiif_encode_response(&response, slot);
        pv_vscsiif_decode_response(slot, &again);
        assert(again.rqid == 7 && again.rslt == 2 && again.residual_len == 512);
        assert(again.sense_len == sense_len);
        for (unsigned i = 0; i < VSCSIIF_SENSE_BUFFERSIZE; i++)
            assert(slot[4 + i] == (i < sense_len ? 0x55 : 0xaa)); /* nothing of ours leaks */
        unsigned used = sense_len < sizeof again.sense ? sense_len : sizeof again.sense;
        assert(memcmp(again.sense, response.sense, used) == 0);
        for (unsigned i = 108; i < VSCSIIF_SLOT_SIZE; i++)
            assert(slot[i] == 0xaa);
    }
    free(slot);
}

int main(void)
{
    test_requests();
    test_responses();
    return 0;
}
