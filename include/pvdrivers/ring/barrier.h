/*
 * Every memory-ordering primitive of rings, drivers and stores. Shared pages are written by a peer
 * that may run on a weakly ordered processor (IA-64: ld.acq, st.rel, mf), so code never relies on
 * x86's order: an index is published with a release store, read with an acquire load, and the one
 * place where a store must be visible before a later load (the notification handshake) uses a full
 * barrier.
 */
#ifndef PVDRIVERS_RING_BARRIER_H
#define PVDRIVERS_RING_BARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Full barrier: everything before it is performed before anything after it, a later load after an
 * earlier store included (x86: mfence or a locked instruction, IA-64: mf). */
static inline void pv_mb(void)
{
#if defined(__SANITIZE_THREAD__) && defined(__x86_64__)
    /* TSan has no model of fences; the instruction gives the order and adds no false edge. */
    __asm__ volatile("mfence" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Keeps the compiler from reading a peer's memory again behind a private copy. The processor needs
 * nothing: a load that has been performed is not performed again. */
static inline void pv_compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/* In a polling loop: leaves the core to its other thread for a moment. Gives no order. */
static inline void pv_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    pv_compiler_barrier();
#endif
}

#define PV_CACHE_LINE 64 /* bytes, at least */

/* Asks for a cache line that will be read and then written, so that waiting for the one and the
 * other, and for several lines, is one wait. Gives no order and never faults. */
static inline void pv_prefetch_to_write(const void *p)
{
#if defined(__x86_64__)
    /* Not __builtin_prefetch: for a generic x86-64 it only reads. Processors without it do nothing.
     */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1);
#endif
}

/* The same for a line that will only be read. */
static inline void pv_prefetch_to_read(const void *p)
{
    __builtin_prefetch(p);
}

/* Everything the peer wrote before its release store is visible after this load. */
static inline uint32_t pv_load_acquire(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* Everything written before is visible to a reader that sees this value by an acquire load. */
static inline void pv_store_release(uint32_t *p, uint32_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* One read that the compiler neither repeats nor splits. No order: the value says nothing about
 * other memory, or a barrier beside it gives the order. */
static inline uint32_t pv_read_once(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* One write, no order. */
static inline void pv_write_once(uint32_t *p, uint32_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

/* The same for the other sizes of fields in shared pages. */
static inline uint16_t pv_load_acquire_16(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void pv_store_release_byte(uint8_t *p, uint8_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline void pv_store_release_16(uint16_t *p, uint16_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uint16_t pv_read_once_16(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void pv_write_once_16(uint16_t *p, uint16_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline uint8_t pv_read_once_byte(const uint8_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void pv_write_once_byte(uint8_t *p, uint8_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void *pv_read_once_pointer(void *const *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void pv_write_once_pointer(void **p, void *value)
{
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline uint64_t pv_load_acquire_64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void pv_store_release_64(uint64_t *p, uint64_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uint64_t pv_read_once_64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void pv_write_once_64(uint64_t *p, uint64_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

/* Makes the read-modify-write before it a full barrier. x86's locked instructions are one; Arm's
 * sequentially consistent ones are not: a later load may be performed before their store is. */
static inline void pv_mb_after_atomic(void)
{
#if !defined(__x86_64__) && !defined(__i386__)
    pv_mb();
#endif
}

/* Read-modify-write of a word two parties change (event bits and words, grant flags, counts): each
 * is a full barrier, as Xen's bit operations are, so that a reader that finds a bit set sees what
 * was written before. All return the old value. */
static inline uint32_t pv_fetch_or(uint32_t *p, uint32_t bits)
{
    uint32_t old = __atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint32_t pv_fetch_and(uint32_t *p, uint32_t bits)
{
    uint32_t old = __atomic_fetch_and(p, bits, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint32_t pv_fetch_add(uint32_t *p, uint32_t value)
{
    uint32_t old = __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint32_t pv_fetch_sub(uint32_t *p, uint32_t value)
{
    uint32_t old = __atomic_fetch_sub(p, value, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint64_t pv_fetch_add_64(uint64_t *p, uint64_t value)
{
    uint64_t old = __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint64_t pv_fetch_sub_64(uint64_t *p, uint64_t value)
{
    uint64_t old = __atomic_fetch_sub(p, value, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint32_t pv_exchange(uint32_t *p, uint32_t value)
{
    uint32_t old = __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint8_t pv_exchange_byte(uint8_t *p, uint8_t value)
{
    uint8_t old = __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint16_t pv_fetch_or_16(uint16_t *p, uint16_t bits)
{
    uint16_t old = __atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

static inline uint16_t pv_fetch_and_16(uint16_t *p, uint16_t bits)
{
    uint16_t old = __atomic_fetch_and(p, bits, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return old;
}

/* Writes `value` if `expected` is there; a barrier only then. */
static inline uint32_t pv_compare_exchange(uint32_t *p, uint32_t expected, uint32_t value)
{
    __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return expected;
}

static inline uint16_t pv_compare_exchange_16(uint16_t *p, uint16_t expected, uint16_t value)
{
    __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    pv_mb_after_atomic();
    return expected;
}

/* The same for a counter that other threads watch. */
static inline uint64_t pv_read_counter(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* Of a struct that is nothing but counters; `size` is its size. */
static inline void pv_read_counters(const void *from, void *to, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)to)[i] = pv_read_counter((const uint64_t *)from + i);
}

static inline void pv_add_counter(uint64_t *p, uint64_t value) /* one writer only */
{
    __atomic_store_n(p, *p + value, __ATOMIC_RELAXED);
}

#endif
