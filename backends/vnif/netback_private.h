/*
 * The inside of a network backend. Each pump moves batches in both directions:
 *
 *   tx:  ring -> parse and check -> stage copies -> [flush] -> finish -> send -> answer
 *   rx:  uplink -> choose a queue -> admit -> place in slots -> [flush] -> answer -> ring
 *
 * A batch ends where a packet ends. Files call only those below them:
 *
 *   queue.c                 creates a queue and ends it
 *     resume.c              takes up the logs that an earlier queue left
 *   pump.c                  pumps both directions, notifies, arms, knows when to be pumped next
 *     tx.c                  a batch of what the guest transmits
 *       tx_parse.c          which slots are a packet, and whether they may be
 *       tx_finish.c         gives a packet its offloads, or does here what the uplink does not
 *       credit.c            how much the guest may transmit
 *     rx.c                  a batch of what the guest receives
 *       rx_admit.c          takes packets from the uplink, and makes of them what the guest takes
 *       rx_place.c          puts packets into the guest's buffers
 *     rx_starved.c          packets wait for buffers, and for how long
 *     mailbox.c             packets that another queue has received for this one
 *     drop.c                tells the uplink of packets that are dropped, and why
 *   static_grants.c         the guest's pages that stay mapped
 *   vif.c                   what the queues share
 *     saved.c               keeps what the guest has told where it outlives the process
 *     hash.c  multicast.c   the guest's hash and its filter
 *   control_queue.c         creates a control ring and ends it
 *     control.c             takes requests and answers them
 *       control_hash.c      those about the hash
 *       control_grants.c    those about static grants
 */
#ifndef BACKENDS_VNIF_NETBACK_PRIVATE_H
#define BACKENDS_VNIF_NETBACK_PRIVATE_H

#include "backends/copy_batch.h"
#include "pvdrivers/backends/response_log.h"
#include "pvdrivers/backends/vnif/netback.h"
#include "pvdrivers/ring/ring.h"

#include <pthread.h>

#define NETBACK_OK (-1)             /* instead of an enum pv_netback_error */
#define NETBACK_BATCH 64            /* packets between two publications */
#define NETBACK_MAX_BYTES (4 << 20) /* of packets a pump moves each way, and one packet more */
#define NETBACK_MAX_SEGMENTS 512    /* of one GSO packet cut up here */
#define NETBACK_LOG_ALIGNMENT 128   /* bytes, of a log's beginning and size */
#define NETBACK_MAX_SLOTS 1024      /* of a ring: IA-64's pages */
#define NETBACK_RX_SLOTS 128        /* of a batch; several packets of the longest */
#define NETBACK_RX_BACKLOG (4 * NETBACK_MAX_SEGMENTS) /* a few that are cut up at once */
#define NETBACK_MAILBOX 256                           /* packets */
#define NETBACK_STATIC_COPIES 128                     /* made together */
#define NETBACK_RX_POLL 30000000u /* ns between looks for buffers of a guest that does not tell */

/* ---- what the queues of a vif share ---------------------------------------------------------- */

#define NETBACK_HASH_TYPES                                                                         \
    (XEN_NETIF_CTRL_HASH_TYPE_IPV4 | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP |                           \
     XEN_NETIF_CTRL_HASH_TYPE_IPV6 | XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP)

/* As the guest has set it on the control ring. */
struct netback_hash {
    uint32_t algorithm, types; /* XEN_NETIF_CTRL_HASH_* */
    uint32_t key_size, mapping_size;
    uint8_t key[PV_HASH_MAX_KEY];
    uint32_t mapping[PV_NETBACK_MAX_MAPPING]; /* queues */
};

/* As the guest has set it on its tx rings. */
struct netback_multicast {
    uint64_t addresses[PV_NETBACK_MAX_MULTICAST]; /* 0: a free place */
    bool incomplete; /* it may have joined others before, so all pass */
};

/* What a successor has to know of a guest, which does not tell it again. */
struct netback_saved {
    uint32_t magic; /* 0: nothing is here yet */
    struct netback_hash hash;
    struct netback_multicast multicast;
};

/* What may change while queues are pumped. Each queue has a copy of its own. */
struct netback_settings {
    uint64_t rate_bytes, rate_usec;
    uint16_t xdp_headroom;
    bool multicast_control;
    struct netback_hash hash;
    struct netback_multicast multicast;
};

/* A packet for the guest. What is of this guest alone is not written into the packet, which may
 * have other users. */
struct rx_entry {
    struct pv_packet *packet;
    uint32_t hash;
    uint8_t hash_type;
    bool hashed;
};

struct netback_mailbox {
    pthread_mutex_t lock;
    struct rx_entry *entries; /* NETBACK_MAILBOX; NULL: the queue is not there */
    uint32_t first;
    uint32_t count; /* also read without the lock: something to take? */
    int eventfd;    /* the owner's */
    bool armed;     /* what arrives must write to it */
    bool written;   /* has been, and is to be read */
};

/* Those of one queue, a hash table. Changed by the control ring alone. */
struct netback_static_grants {
    pthread_mutex_t lock;
    uint32_t count;              /* also read without the lock: is there any? */
    uint32_t mask;               /* of a place's number */
    struct pv_grant_map *grants; /* without an address: a free place. NULL: there never was any */
};

/* From or to one of them. */
struct netback_static_copy {
    void *to;
    const void *from;
    uint16_t length; /* bytes */
};

struct netback_static_copies {
    uint32_t count;
    struct netback_static_copy copies[NETBACK_STATIC_COPIES];
};

/* What others reach of a queue, whether it is there or not. */
struct netback_place {
    struct netback_mailbox mailbox;
    struct netback_static_grants static_grants;
    pthread_mutex_t uplink_lock; /* of the uplink's queue of this number, when several share it */
};

struct pv_netback_vif {
    struct pv_netback_vif_config config;
    uint32_t page_size; /* the frontend's, bytes */
    bool gso_tcpv4, gso_tcpv6;
    pthread_mutex_t lock;
    struct netback_settings settings; /* under the lock */
    struct netback_saved *saved; /* in queue 0's log; under the lock; NULL: that is not there */
    uint32_t generation;         /* of the settings */
    uint32_t stalled;            /* queues */
    struct netback_place places[PV_NETBACK_MAX_QUEUES]; /* config.queues of them are used */
};

/* ---- a queue --------------------------------------------------------------------------------- */

struct netback_credit {
    uint64_t bytes, usec; /* `bytes` are added every `usec`; 0 bytes: unlimited */
    uint64_t left;        /* bytes */
    uint64_t window;      /* ns: when the current one began */
    uint64_t deadline;    /* ns: when there is more; UINT64_MAX: nobody waits for it */
};

/* A packet and its slots: its first request, its extra infos, its fragments. */
struct tx_taken {
    struct pv_packet *packet; /* the uplink's once it is sent; NULL: there is none to send */
    const union netif_tx_sring_entry *slot; /* `slots` of them */
    uint32_t slots;
    uint16_t extras;
    uint16_t gso, hash, multicast; /* which slot after the first has it; 0: none */
    uint16_t length, first_length; /* bytes, of the packet and of its first slot */
    int error;                     /* or NETBACK_OK */
    int16_t status;                /* NETIF_RSP_*, what it is answered with */
    bool copy_failed;
};

struct netback_tx {
    struct pv_back_ring ring;
    struct pv_response_log *log;
    union netif_tx_sring_entry *slots; /* private copies of a batch's, as many as the ring has */
    uint32_t slot_count, sent_count;
    struct netback_credit credit;
    int64_t bytes_left;      /* that this pump may still move */
    struct tx_taken *taken;  /* NETBACK_BATCH */
    struct pv_packet **sent; /* NETBACK_BATCH */
};

struct netback_rx {
    struct pv_back_ring ring;
    struct pv_response_log *log;
    uint32_t backlog_first, backlog_end;
    uint32_t last_slots; /* that a packet took */
    bool starved, stalled;
    uint64_t starved_since, drain_at, poll_at; /* ns */
    int64_t bytes_left;                        /* that this pump may still move */
    struct pv_packet *received[NETBACK_BATCH];
    struct pv_packet *placed[NETBACK_BATCH];
    bool copy_failed[NETBACK_RX_SLOTS];          /* of a batch's slots; false between batches */
    struct rx_entry backlog[NETBACK_RX_BACKLOG]; /* admitted and not yet placed */
};

/* What an idle queue touches comes first: memory comes by the page. */
struct pv_netback_queue {
    struct pv_pollable pollable; /* first: the poll group's pointer is ours */
    struct pv_netback_vif *vif;
    struct pv_uplink *uplink;
    uint32_t index, uplink_queue;
    pthread_mutex_t *uplink_lock; /* NULL: it has the uplink's queue for itself */
    bool receives; /* of those that share the uplink's queue it is the one that takes from it */
    struct pv_packet_cache *cache;
    struct copy_batch copies;
    struct netback_static_grants *static_grants; /* locked for a batch; NULL: there are none */
    struct netback_settings settings;            /* the vif's */
    uint32_t generation;
    uint64_t now;
    bool bound_tx, bound_rx, stopped, broken;
    bool posted;                 /* its mailbox is open */
    bool notify_tx, notify_rx;   /* before this pump's end */
    bool slept;                  /* armed since the last pump */
    bool watching;               /* the uplink's fd */
    struct netback_saved *saved; /* of queue 0 */
    void *own_log;
    size_t log_size;
    int eventfd, fault_fd;
    struct pv_netback_stats stats;
    struct netback_tx tx;
    struct netback_rx rx;
    struct netback_static_copies static_copies; /* staged in this batch */
};

/* The only writer of a counter; others may read it meanwhile. */
#define netback_count(queue, counter, n) pv_add_counter(&(queue)->stats.counter, (n))

static inline bool netback_is_fatal(int error)
{
    return error >= PV_NETBACK_RING_OVERRUN;
}

/* What an area for a log of `size` bytes takes. */
static inline size_t netback_log_area(size_t size)
{
    return (size + NETBACK_LOG_ALIGNMENT - 1) & ~(size_t)(NETBACK_LOG_ALIGNMENT - 1);
}

/* Whether an area that a caller gave, if it gave one, can have a log of `size` bytes. */
static inline bool netback_log_fits(const void *area, size_t area_size, size_t size)
{
    return !area || ((uintptr_t)area % NETBACK_LOG_ALIGNMENT == 0 && area_size >= size);
}

/* Touches the rings no more once this pump is over, and tells the owner. */
void netback_break(struct pv_netback_queue *queue, int error);
void netback_report(int fault_fd);

/* tx_parse.c: takes the next packet's slots, of which at most `ready` are there. NETBACK_OK, or
 * what is wrong: fatal, or to be answered with an error. */
int netback_tx_parse(struct netback_tx *tx, uint32_t ready, uint32_t page_size,
                     struct tx_taken *taken);

/* Whether an uplink takes a GSO packet of a type, whose checksum is always blank. */
static inline bool netback_takes_gso(const struct pv_uplink_offloads *offloads, uint8_t type)
{
    return type == XEN_NETIF_GSO_TYPE_TCPV6 ? offloads->gso_tcpv6 && offloads->csum_ipv6
                                            : offloads->gso_tcpv4 && offloads->csum_ipv4;
}

/* tx_finish.c: gives a packet whose data are here its offloads, and collects it for the uplink,
 * perhaps in segments. NETBACK_OK or an error. */
int netback_tx_finish(struct pv_netback_queue *queue, struct tx_taken *taken);

/* tx.c */
uint32_t netback_tx_batch(struct pv_netback_queue *queue, uint32_t most); /* returns how many */
/* Gives the uplink what is collected. */
void netback_tx_send(struct pv_netback_queue *queue);

/* drop.c */
#define NETBACK_NO_MEMORY "there is no memory"
/* Tells of one that is not sent. */
void netback_tell_tx_drop(struct pv_netback_queue *queue, const struct tx_taken *taken);
/* Tells of it, and releases it. */
void netback_rx_drop(struct pv_netback_queue *queue, struct pv_packet *packet, const char *reason);

/* credit.c */
/* Begins or changes the limit; 0 of either: there is none. */
void netback_credit_set(struct netback_credit *credit, uint64_t bytes, uint64_t usec, uint64_t now);
/* Takes `size` bytes of credit; false: there is not enough before credit->deadline. */
bool netback_credit_take(struct netback_credit *credit, uint32_t size, uint64_t now);

/* rx.c */
uint32_t netback_rx_batch(struct pv_netback_queue *queue, uint32_t most);
static inline uint32_t netback_rx_backlog(const struct netback_rx *rx)
{
    return rx->backlog_end - rx->backlog_first;
}

/* rx_admit.c: fills an empty backlog with about as many packets as `slots` of the guest can take,
 * `most` at most. */
void netback_rx_admit(struct pv_netback_queue *queue, uint32_t slots, uint32_t most);
void netback_rx_drop_backlog(struct pv_netback_queue *queue, const char *reason);

/* rx_place.c */
uint32_t netback_rx_slots_needed(const struct pv_netback_queue *queue,
                                 const struct rx_entry *entry);
/* Takes the guest's buffers and stages the copies; the first is the batch's slot number `slot`. */
void netback_rx_place(struct pv_netback_queue *queue, const struct rx_entry *entry, uint32_t slot);

/* rx_starved.c: the guest has `slots` buffers left, and packets may be waiting for more. `placed`:
 * some have just been given to it. */
void netback_rx_look(struct pv_netback_queue *queue, uint32_t slots, bool placed);
/* How many the first of those that wait needs. */
uint32_t netback_rx_buffers_needed(const struct pv_netback_queue *queue);
uint64_t netback_rx_deadline(const struct pv_netback_queue *queue);
/* A queue that ends waits for nothing any more. */
void netback_rx_forget(struct pv_netback_queue *queue);

/* mailbox.c */
int netback_mailbox_open(struct netback_mailbox *mailbox, int eventfd); /* 0 or -errno */
/* Releases what is there. */
void netback_mailbox_close(struct netback_mailbox *mailbox);
/* Whether it has the entry now. False: the queue is not there, or it is `full`. */
bool netback_mailbox_put(struct netback_mailbox *mailbox, const struct rx_entry *entry, bool *full);
uint32_t netback_mailbox_take(struct netback_mailbox *mailbox, struct rx_entry *entries,
                              uint32_t most);
bool netback_mailbox_arm(struct netback_mailbox *mailbox); /* true: there is something */
void netback_mailbox_disarm(struct netback_mailbox *mailbox);
/* Wakes its owner for another reason. */
void netback_mailbox_wake(struct netback_mailbox *mailbox);

/* static_grants.c */
/* The most that a queue may have: a list's page full. Those are the pages of both its rings' slots,
 * if each has one. */
uint32_t netback_static_grants_limit(const struct pv_netback_vif *vif);
void netback_static_grants_init(struct netback_static_grants *table);
/* Unmaps them. */
void netback_static_grants_destroy(struct pv_netback_vif *vif, struct netback_static_grants *table);
/* Maps all of a list, or returns false and maps none: one cannot be mapped or is there already, or
 * they are too many. */
bool netback_static_grants_add(struct pv_netback_vif *vif, uint32_t queue,
                               struct xen_netif_gref *list, uint32_t count);
/* Unmaps those that were added, says of each in its status whether it was, and returns how many
 * were. The list is no longer than the limit. */
uint32_t netback_static_grants_remove(struct pv_netback_vif *vif, uint32_t queue,
                                      struct xen_netif_gref *list, uint32_t count);
/* While a queue stages copies stand these around it, and between them its grants stay mapped. The
 * second one makes the copies from and to static grants. */
void netback_static_grants_hold(struct pv_netback_queue *queue);
void netback_static_grants_let_go(struct pv_netback_queue *queue);
/* Stage a copy if the queue holds its grants and this is one of them; false: it is not, or may not
 * be written to. The local memory stays until then. */
bool netback_copy_from_static(struct pv_netback_queue *queue, grant_ref_t ref, uint16_t offset,
                              void *to, uint16_t length);
bool netback_copy_to_static(struct pv_netback_queue *queue, grant_ref_t ref, uint16_t offset,
                            const void *from, uint16_t length);

/* hash.c */
bool netback_hash_valid(const struct netback_hash *hash);
void netback_hash_packet(const struct netback_hash *hash, struct rx_entry *entry);
/* The queue that the guest's mapping names. */
uint32_t netback_hash_queue(const struct netback_hash *hash, const struct rx_entry *entry,
                            uint32_t queues);

/* multicast.c */
/* Each is one store. False: there is no room. */
bool netback_multicast_add(struct netback_multicast *multicast, const uint8_t *address);
void netback_multicast_del(struct netback_multicast *multicast, const uint8_t *address);
/* Whether a packet with this destination passes the filter. */
bool netback_multicast_passes(const struct netback_multicast *multicast, const uint8_t *address);

/* saved.c */
/* Whether it is what an earlier backend has left, or nothing yet: 0 or -ESTALE. */
int netback_saved_check(const struct netback_saved *saved);
/* Takes up what an earlier backend has left there, or begins it, and keeps each change there too
 * until it is detached. */
void netback_saved_attach(struct pv_netback_vif *vif, struct netback_saved *saved);
void netback_saved_detach(struct pv_netback_vif *vif);
void netback_save_hash(struct pv_netback_vif *vif, const struct netback_hash *hash);
/* Adds an address to the filter or takes it away; false: there is no room. */
bool netback_save_multicast(struct pv_netback_vif *vif, const uint8_t *address, bool add);

/* vif.c */
/* Each change of the settings stands between these. */
struct netback_settings *netback_settings_change(struct pv_netback_vif *vif);
void netback_settings_changed(struct pv_netback_vif *vif);
/* Whether they are newer than `generation`, which they then have. */
bool netback_settings_read(struct pv_netback_vif *vif, struct netback_settings *settings,
                           uint32_t *generation);
/* Copy the beginning of a page of the guest; false: it is not granted, or not to be written to. */
bool netback_copy_from_page(struct pv_netback_vif *vif, grant_ref_t ref, void *to, uint16_t size);
bool netback_copy_to_page(struct pv_netback_vif *vif, grant_ref_t ref, void *from, uint16_t size);
/* Maps one ring and attaches it where an earlier backend stopped: 0, -EPROTO (the frontend lies
 * about its ABI), -EIO or another negative errno. */
int netback_map_ring(struct pv_netback_vif *vif, grant_ref_t ref, uint32_t slot_size,
                     struct pv_back_ring *ring);
void netback_unmap_ring(struct pv_netback_vif *vif, struct pv_back_ring *ring);

/* resume.c: the logs of both rings that an earlier queue may have left. */
void netback_place_logs(struct pv_netback_queue *queue, void *area);
int netback_check_logs(const struct pv_netback_queue *queue,
                       const struct pv_netback_queue_config *config);
int netback_attach_logs(struct pv_netback_queue *queue,
                        const struct pv_netback_queue_config *config);

/* pump.c */
extern const struct pv_pollable_ops netback_pollable_ops;

#endif
