/* Any requests on a network backend's control ring: each gets an answer, the hash that they set
 * names queues that there are, and packets come through whatever stays mapped. Input: what lies in
 * the guest's page (256 bytes), then requests of 16 bytes, or what is left. */
#define GUEST_PAGES 32 /* little to clear for each input */
#include "tests/backends/vnif/c/loopback.h"
#include "tests/fuzz/input.h"

static struct pv_netback_control *connect(struct loopback *loop, struct pv_front_ring *front)
{
    const struct pv_netback_control_config config = {
        .evtchn = (struct pv_evtchn *)loop, .ring_ref = CONTROL_RING, .port = CONTROL_PORT};
    loopback_open(loop);
    pv_front_ring_attach(front, (struct pv_sring *)loopback_page(loop, CONTROL_RING), 4096,
                         sizeof(union xen_netif_ctrl_sring_entry), 0);
    struct pv_netback_control *control = pv_netback_control_create(loop->vif, &config);
    assert(control);
    return control;
}

static void ask(struct loopback *loop, struct pv_netback_control *control,
                struct pv_front_ring *front, const struct xen_netif_ctrl_request *request)
{
    struct xen_netif_ctrl_response response;
    memcpy(pv_front_request_slot(front, front->req_prod_pvt++), request, sizeof *request);
    pv_front_push_requests(front);
    assert(pv_netback_control_pump(control, 1, loop->now) == 1);
    assert(pv_front_unconsumed_responses(front) == 1);
    pv_front_copy_response(front, front->rsp_cons++, &response, sizeof response);
    assert(response.id == request->id && response.type == request->type);
    assert(response.status <= XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW);
}

/* The page of a request that refers to one has the input's first bytes, or none. */
static void point_to_page(struct xen_netif_ctrl_request *request)
{
    switch (request->type) {
    case XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
        request->data[0] = DATA + request->data[0] % 2;
        break;
    case XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING:
    case XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING:
        request->data[1] = DATA + request->data[1] % 2;
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loopback loop;
    struct input input = {data, size};
    struct pv_front_ring front;
    struct pv_netback_control *control = connect(&loop, &front);
    struct pv_packet *packet = uplink_queue(&loop, 60);
    write_frame(packet->data, 60, 6);
    take(&input, loopback_page(&loop, DATA), 256);
    while (input.left > 0) {
        struct xen_netif_ctrl_request request;
        take(&input, &request, sizeof request);
        request.type &= 15;
        point_to_page(&request);
        ask(&loop, control, &front, &request);
        assert(pv_netback_vif_choose_queue(loop.vif, packet, 0) < QUEUES);
    }
    rx_post(&loop, 0, 4);
    tx_put_request(&loop, DATA, 0, 60, 0);
    assert(loopback_pump(&loop) <= 2);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    pv_netback_control_destroy(control);
    loopback_close(&loop);
    return 0;
}
