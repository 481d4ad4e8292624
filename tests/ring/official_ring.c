/* Xen's own ring macros behind plain functions, once per slot size. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __XEN_INTERFACE_VERSION__ __XEN_LATEST_INTERFACE_VERSION__
#define xen_mb() __sync_synchronize()
#define xen_rmb() __sync_synchronize()
#define xen_wmb() __sync_synchronize()
#include <xen/io/ring.h>

#define OFFICIAL_RING(n)                                                                           \
    struct slot_##n {                                                                              \
        uint8_t bytes[n];                                                                          \
    };                                                                                             \
    DEFINE_RING_TYPES(ring_##n, struct slot_##n, struct slot_##n);                                 \
    void sring_init_##n(ring_##n##_sring_t *sring)                                                 \
    {                                                                                              \
        SHARED_RING_INIT(sring);                                                                   \
    }                                                                                              \
    void *front_new_##n(ring_##n##_sring_t *sring, uint32_t index, size_t area_bytes)              \
    {                                                                                              \
        ring_##n##_front_ring_t *front = malloc(sizeof(*front));                                   \
        FRONT_RING_ATTACH(front, sring, index, area_bytes);                                        \
        return front;                                                                              \
    }                                                                                              \
    void *back_new_##n(ring_##n##_sring_t *sring, uint32_t index, size_t area_bytes)               \
    {                                                                                              \
        ring_##n##_back_ring_t *back = malloc(sizeof(*back));                                      \
        BACK_RING_ATTACH(back, sring, index, area_bytes);                                          \
        return back;                                                                               \
    }                                                                                              \
    void front_indices_##n(const ring_##n##_front_ring_t *front, uint32_t *indices)                \
    {                                                                                              \
        indices[0] = front->req_prod_pvt;                                                          \
        indices[1] = front->rsp_cons;                                                              \
        indices[2] = front->nr_ents;                                                               \
    }                                                                                              \
    void back_indices_##n(const ring_##n##_back_ring_t *back, uint32_t *indices)                   \
    {                                                                                              \
        indices[0] = back->rsp_prod_pvt;                                                           \
        indices[1] = back->req_cons;                                                               \
        indices[2] = back->nr_ents;                                                                \
    }                                                                                              \
    uint32_t front_free_##n(const ring_##n##_front_ring_t *front)                                  \
    {                                                                                              \
        return RING_FREE_REQUESTS(front);                                                          \
    }                                                                                              \
    void front_add_##n(ring_##n##_front_ring_t *front, const void *data)                           \
    {                                                                                              \
        memcpy(RING_GET_REQUEST(front, front->req_prod_pvt), data, n);                             \
        front->req_prod_pvt++;                                                                     \
    }                                                                                              \
    void back_add_##n(ring_##n##_back_ring_t *back, const void *data)                              \
    {                                                                                              \
        memcpy(RING_GET_RESPONSE(back, back->rsp_prod_pvt), data, n);                              \
        back->rsp_prod_pvt++;                                                                      \
    }                                                                                              \
    int front_push_##n(ring_##n##_front_ring_t *front)                                             \
    {                                                                                              \
        int notify;                                                                                \
        RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(front, notify);                                        \
        return notify;                                                                             \
    }                                                                                              \
    int back_push_##n(ring_##n##_back_ring_t *back)                                                \
    {                                                                                              \
        int notify;                                                                                \
        RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(back, notify);                                        \
        return notify;                                                                             \
    }                                                                                              \
    uint32_t front_unconsumed_##n(const ring_##n##_front_ring_t *front)                            \
    {                                                                                              \
        return RING_HAS_UNCONSUMED_RESPONSES(front);                                               \
    }                                                                                              \
    uint32_t back_unconsumed_##n(const ring_##n##_back_ring_t *back)                               \
    {                                                                                              \
        return RING_HAS_UNCONSUMED_REQUESTS(back);                                                 \
    }                                                                                              \
    void front_take_##n(ring_##n##_front_ring_t *front, void *data)                                \
    {                                                                                              \
        RING_COPY_RESPONSE(front, front->rsp_cons, (struct slot_##n *)data);                       \
        front->rsp_cons++;                                                                         \
    }                                                                                              \
    void back_take_##n(ring_##n##_back_ring_t *back, void *data)                                   \
    {                                                                                              \
        RING_COPY_REQUEST(back, back->req_cons, (struct slot_##n *)data);                          \
        back->req_cons++;                                                                          \
    }                                                                                              \
    int front_final_check_##n(ring_##n##_front_ring_t *front)                                      \
    {                                                                                              \
        int work_to_do;                                                                            \
        RING_FINAL_CHECK_FOR_RESPONSES(front, work_to_do);                                         \
        return !!work_to_do;                                                                       \
    }                                                                                              \
    int back_final_check_##n(ring_##n##_back_ring_t *back)                                         \
    {                                                                                              \
        int work_to_do;                                                                            \
        RING_FINAL_CHECK_FOR_REQUESTS(back, work_to_do);                                           \
        return !!work_to_do;                                                                       \
    }                                                                                              \
    int front_overflow_##n(const ring_##n##_front_ring_t *front, uint32_t prod)                    \
    {                                                                                              \
        return RING_RESPONSE_PROD_OVERFLOW(front, prod);                                           \
    }                                                                                              \
    int back_overflow_##n(const ring_##n##_back_ring_t *back, uint32_t prod)                       \
    {                                                                                              \
        return RING_REQUEST_PROD_OVERFLOW(back, prod);                                             \
    }

OFFICIAL_RING(8)
OFFICIAL_RING(12)
OFFICIAL_RING(16)
OFFICIAL_RING(108)
OFFICIAL_RING(112)
OFFICIAL_RING(252)
