/* A SCSI backend that writes what it likes: the frontend stays within its pages and the caller's
 * data, and each command ends once. Input: a byte of settings, then steps (a byte, and the bytes
 * that the step takes). */
#include "pvdrivers/frontends/scsi/scsifront.h"
#include "pvdrivers/ring/abi_vscsiif.h"
#include "pvdrivers/ring/ring.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/input.h"

#include <stdlib.h>

#define COMMANDS 24u
#define DATA (40u * PAGE)
#define BUFFERS 4u
#define BATCH 8u

static void *pages_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    (void)hypervisor;
    return calloc(count, PAGE); /* of this size exactly, so that ASan sees a look behind it */
}

/* A run of pages is freed as a whole, since no grant is ever in use when it ends. */
static int pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    (void)hypervisor, (void)count;
    free(address);
    return 0;
}

/* ---- The guest's commands ---------------------------------------------------------------------
 */

static struct pv_scsifront_command commands[COMMANDS];
static bool submitted[COMMANDS];
static uint8_t *data[COMMANDS];

struct host {
    struct pv_scsifront_queue *queue;
    struct pv_back_ring back;
};

static void submit(struct host *host, struct input *input)
{
    uint32_t number = take_number(input, 1) % COMMANDS, kind = take_number(input, 1),
             length = take_number(input, 3);
    struct pv_scsifront_command *command = &commands[number];
    if (submitted[number])
        return;
    length %= DATA + 1;
    *command = (struct pv_scsifront_command){.act = 1 + kind % 3,
                                             .lun = kind >> 2 & 1,
                                             .cdb_length = 1 + kind % 16,
                                             .direction = VSCSIIF_TO_DEVICE + (kind >> 3 & 1),
                                             .length = length,
                                             .subject = &commands[kind % COMMANDS],
                                             .user = &submitted[number]};
    uint8_t *buffers = pv_scsifront_buffers(host->queue);
    if (kind >> 4 & 1 && length <= PAGE)
        command->data = buffers + take_number(input, 2) % (BUFFERS * PAGE - PAGE);
    else
        command->data = data[number] = malloc(length + 1); /* for ASan to see the end of */
    bool subject = command->act != VSCSIIF_ACT_SCSI_ABORT || submitted[kind % COMMANDS];
    int error = subject ? pv_scsifront_submit(host->queue, &command, 1) : -EINVAL;
    assert(error == 0 || error == -EINVAL || error == -EPROTO);
    submitted[number] = error == 0;
    if (error) {
        free(data[number]);
        data[number] = NULL;
    }
}

static void end(struct pv_scsifront_command *command)
{
    bool *mark = command->user;
    assert(*mark && command->place == PV_SCSIFRONT_FINISHED);
    assert(command->residual <= command->length);
    assert(command->sense_length <= VSCSIIF_SENSE_BUFFERSIZE);
    *mark = false;
    size_t number = (size_t)(command - commands);
    free(data[number]);
    data[number] = NULL;
}

static void poll(struct host *host, unsigned budget)
{
    struct pv_scsifront_command *done[BATCH];
    int count = pv_scsifront_poll(host->queue, done, budget);
    assert(count == -EPROTO || (count >= 0 && count <= (int)budget));
    for (int i = 0; i < count; i++)
        end(done[i]);
}

/* ---- The backend ------------------------------------------------------------------------------
 */

/* An answer to a request as it stands on the ring, or to none. */
static void answer(struct host *host, struct input *input)
{
    struct pv_vscsiif_response response = {.rqid = (uint16_t)take_number(input, 1)};
    uint32_t what = take_number(input, 1);
    if (what & 1)
        response.sense_len = (uint8_t)take_number(input, 1);
    if (what & 2)
        response.residual_len = take_number(input, 4);
    if (what & 4)
        response.rslt = (int32_t)take_number(input, 4);
    else if (what & 8)
        response.rslt = VSCSIIF_RSLT_RESET_SUCCESS;
    pv_vscsiif_encode_response(&response,
                               pv_back_response_slot(&host->back, host->back.rsp_prod_pvt++));
    pv_back_push_responses(&host->back);
}

/* Answers all requests as a backend should, and writes to all that it may write to. */
static void serve(struct host *host)
{
    for (int left = pv_back_unconsumed_requests(&host->back); left > 0; left--) {
        struct pv_vscsiif_request request;
        uint8_t slot[VSCSIIF_SLOT_SIZE];
        pv_back_copy_request(&host->back, host->back.req_cons++, slot, sizeof(slot));
        pv_vscsiif_decode_request(slot, &request);
        unsigned count = request.nr_segments & ~VSCSIIF_SG_GRANT;
        for (unsigned i = 0; i < count && i < VSCSIIF_SG_TABLESIZE; i++)
            if (request.seg[i].gref < refs_made && pages[request.seg[i].gref])
                memset((uint8_t *)pages[request.seg[i].gref] + request.seg[i].offset % PAGE, 0x5a,
                       1);
        struct pv_vscsiif_response response = {.rqid = request.rqid};
        pv_vscsiif_encode_response(&response,
                                   pv_back_response_slot(&host->back, host->back.rsp_prod_pvt++));
    }
    pv_back_push_responses(&host->back);
}

static void step(struct host *host, struct input *input)
{
    switch (take_number(input, 1) % 8) {
    case 0:
    case 1:
        submit(host, input);
        break;
    case 2:
        poll(host, take_number(input, 1) % (BATCH + 1));
        break;
    case 3:
        answer(host, input);
        break;
    case 4:
        serve(host);
        break;
    case 5:
        host->back.rsp_prod_pvt += (uint32_t)(int8_t)take_number(input, 1);
        break;
    case 6:
        ((uint8_t *)host->back.sring)[take_number(input, 2) % PAGE] =
            (uint8_t)take_number(input, 1);
        break;
    case 7:
        pv_scsifront_has_news(host->queue);
        pv_scsifront_arm(host->queue);
        break;
    }
    assert(pv_scsifront_outstanding(host->queue) <= COMMANDS);
}

static void give_up(struct host *host)
{
    struct pv_scsifront_command *left[COMMANDS];
    pv_scsifront_stop(host->queue);
    int count = pv_scsifront_give_up(host->queue, left, COMMANDS);
    for (int i = 0; i < count; i++)
        end(left[i]);
    for (unsigned i = 0; i < COMMANDS; i++)
        assert(!submitted[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct pv_scsifront_config config = {.hypervisor = &hypervisor,
                                         .evtchn = (struct pv_evtchn *)&hypervisor,
                                         .buffer_pages = BUFFERS,
                                         .pool_pages = 64};
    refs_made = refs_held = 0;
    struct host host = {.queue = pv_scsifront_create(&config)};
    struct pv_sring *sring = pages[pv_scsifront_ring_ref(host.queue)];
    pv_back_ring_attach(&host.back, sring, PAGE, VSCSIIF_SLOT_SIZE, 0);
    int error = pv_scsifront_connect(host.queue, take_number(&input, 1) % 41);
    assert(error == 0);
    while (input.left > 0)
        step(&host, &input);
    poll(&host, BATCH);
    give_up(&host);
    pv_scsifront_destroy(host.queue);
    assert(refs_held == 0);
    return 0;
}
