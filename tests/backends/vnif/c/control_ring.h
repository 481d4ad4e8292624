/* A loopback's control ring, and the guest's end of it. */
#ifndef TESTS_BACKENDS_VNIF_C_CONTROL_RING_H
#define TESTS_BACKENDS_VNIF_C_CONTROL_RING_H

#include "tests/backends/vnif/c/loopback.h"

static struct loopback loop;
static struct pv_netback_control *control;
static struct pv_front_ring front;
static uint8_t control_log[1 << 15] __attribute__((aligned(128)));

static inline struct pv_netback_control_config control_config(void)
{
    return (struct pv_netback_control_config){.evtchn = (struct pv_evtchn *)&loop,
                                              .ring_ref = CONTROL_RING,
                                              .port = CONTROL_PORT,
                                              .log = control_log,
                                              .log_size = sizeof control_log,
                                              .fault_fd = loop.fault_fd};
}

static inline void connect_control(void)
{
    const struct pv_netback_control_config config = control_config();
    control = pv_netback_control_create(loop.vif, &config);
    assert(control && pv_netback_control_port(control) == LOCAL_PORT(CONTROL_PORT));
}

static inline void open_control_of(enum pv_abi abi)
{
    loopback_init(&loop, abi);
    loopback_connect(&loop);
    memset(control_log, 0, sizeof control_log);
    connect_control();
    pv_front_ring_attach(&front, (struct pv_sring *)loopback_page(&loop, CONTROL_RING),
                         loop.page_size, sizeof(union xen_netif_ctrl_sring_entry), 0);
}

static inline void open_control(void)
{
    open_control_of(PV_ABI_X86_64);
    assert(front.nr_ents == 128);
}

static inline void close_control(void)
{
    pv_netback_control_destroy(control);
    loopback_close(&loop);
}

static inline void put(uint16_t type, uint32_t first, uint32_t second, uint32_t third)
{
    const struct xen_netif_ctrl_request request = {
        .id = (uint16_t)(front.req_prod_pvt * 5 + 1), .type = type, .data = {first, second, third}};
    memcpy(pv_front_request_slot(&front, front.req_prod_pvt++), &request, sizeof request);
    pv_front_push_requests(&front);
}

static inline struct xen_netif_ctrl_response take(uint16_t type)
{
    struct xen_netif_ctrl_response response;
    assert(pv_front_unconsumed_responses(&front) > 0);
    uint32_t index = front.rsp_cons++;
    pv_front_copy_response(&front, index, &response, sizeof response);
    assert(response.id == (uint16_t)(index * 5 + 1) && response.type == type);
    return response;
}

static inline uint32_t ask(uint16_t type, uint32_t first, uint32_t second, uint32_t third)
{
    put(type, first, second, third);
    assert(pv_netback_control_pump(control, 16, loop.now) == 1);
    return take(type).status;
}

#define ok XEN_NETIF_CTRL_STATUS_SUCCESS
#define invalid XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
#define unsupported XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED
#define overflow XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW

#endif
