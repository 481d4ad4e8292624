#include "pvdrivers/ring/xenstore_ring.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <string.h>

#define MASK(index) ((index) & (XENSTORE_RING_SIZE - 1))

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int ring_write(uint8_t *ring, uint32_t *prod, const uint32_t *cons, const uint8_t *data,
                      uint32_t len)
{
    uint32_t end = pv_read_once(prod); /* ours: the peer has no reason to write it */
    /* Acquire: the peer has finished reading the space before it gives it back. */
    uint32_t used = end - pv_load_acquire(cons);
    if (used > XENSTORE_RING_SIZE)
        return -EPROTO;
    uint32_t count = least(len, XENSTORE_RING_SIZE - used);
    if (count == 0)
        return 0;
    uint32_t to_wrap = least(count, XENSTORE_RING_SIZE - MASK(end));
    memcpy(ring + MASK(end), data, to_wrap);
    memcpy(ring, data + to_wrap, count - to_wrap);
    /* Release: the bytes are visible before the index that covers them. */
    pv_store_release(prod, end + count);
    return (int)count;
}

static int ring_read(const uint8_t *ring, const uint32_t *prod, uint32_t *cons, uint8_t *data,
                     uint32_t len)
{
    uint32_t start = pv_read_once(cons);
    /* Acquire: the bytes that the index covers are there. */
    uint32_t used = pv_load_acquire(prod) - start;
    if (used > XENSTORE_RING_SIZE)
        return -EPROTO;
    uint32_t count = least(len, used);
    if (count == 0)
        return 0;
    uint32_t to_wrap = least(count, XENSTORE_RING_SIZE - MASK(start));
    memcpy(data, ring + MASK(start), to_wrap);
    memcpy(data + to_wrap, ring, count - to_wrap);
    /* Release: the bytes have been read before the peer may overwrite them. */
    pv_store_release(cons, start + count);
    return (int)count;
}

int pv_xenstore_write_request(struct xenstore_domain_interface *page, const void *data,
                              uint32_t len)
{
    return ring_write((uint8_t *)page->req, &page->req_prod, &page->req_cons, data, len);
}

int pv_xenstore_read_response(struct xenstore_domain_interface *page, void *data, uint32_t len)
{
    return ring_read((uint8_t *)page->rsp, &page->rsp_prod, &page->rsp_cons, data, len);
}

int pv_xenstore_read_request(struct xenstore_domain_interface *page, void *data, uint32_t len)
{
    return ring_read((uint8_t *)page->req, &page->req_prod, &page->req_cons, data, len);
}

int pv_xenstore_write_response(struct xenstore_domain_interface *page, const void *data,
                               uint32_t len)
{
    return ring_write((uint8_t *)page->rsp, &page->rsp_prod, &page->rsp_cons, data, len);
}

int pv_xenstore_response_room(const struct xenstore_domain_interface *page)
{
    /* Not an acquire: the write that follows reads the index again, and room only grows. */
    uint32_t used = pv_read_once(&page->rsp_prod) - pv_read_once(&page->rsp_cons);
    return used > XENSTORE_RING_SIZE ? -EPROTO : (int)(XENSTORE_RING_SIZE - used);
}

void pv_xenstore_accept(struct xenstore_domain_interface *page, uint32_t features)
{
    /* The server consumes what is left of the requests and takes back what was not read. */
    pv_write_once(&page->req_cons, pv_read_once(&page->req_prod));
    pv_write_once(&page->rsp_prod, pv_read_once(&page->rsp_cons));
    pv_write_once(&page->error, XENSTORE_ERROR_NONE);
    pv_write_once(&page->server_features, features);
    /* Release: a peer that sees the connection up sees empty rings. */
    pv_store_release(&page->connection, XENSTORE_CONNECTED);
}

void pv_xenstore_set_error(struct xenstore_domain_interface *page, uint32_t error)
{
    pv_store_release(&page->error, error);
}

void pv_xenstore_ask_reconnect(struct xenstore_domain_interface *page)
{
    /* Release: the guest has done with the rings before the server empties them. */
    pv_store_release(&page->connection, XENSTORE_RECONNECT);
}

uint32_t pv_xenstore_connection(const struct xenstore_domain_interface *page)
{
    /* Acquire: see accept and ask_reconnect. */
    return pv_load_acquire(&page->connection);
}

uint32_t pv_xenstore_error(const struct xenstore_domain_interface *page)
{
    return pv_load_acquire(&page->error);
}

uint32_t pv_xenstore_features(const struct xenstore_domain_interface *page)
{
    return pv_read_once(&page->server_features);
}
