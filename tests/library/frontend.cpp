/* A sector written to a disk and read back, by a frontend and a backend in one C++ program. */
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/blkif.h"
#include "pvdrivers/ring/ring.h"
#include "pvdrivers/sim/machine.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

static void check(bool good, const char *what)
{
    if (!good) {
        std::fprintf(stderr, "%s failed\n", what);
        std::exit(1);
    }
}

struct Close {
    void operator()(pv_machine *machine) const
    {
        pv_machine_close(machine);
    }
    void operator()(pv_hypervisor *hypervisor) const
    {
        hypervisor->ops->close(hypervisor);
    }
    void operator()(pv_blk_store *store) const
    {
        pv_blk_store_close(store);
    }
    void operator()(pv_blkback_queue *queue) const
    {
        pv_blkback_destroy(queue);
    }
};
template <typename T> using Owned = std::unique_ptr<T, Close>;

static Owned<pv_machine> make_machine()
{
    pv_memory_extent memory{};
    memory.size = 64 << 20;
    pv_machine_config config{};
    config.extents = &memory;
    config.extent_count = 1;
    config.max_domains = 8;
    config.max_domain_memory = 16 << 20;
    pv_machine *machine = nullptr;
    check(pv_machine_create(&config, &machine) == 0, "pv_machine_create");
    return Owned<pv_machine>(machine);
}

static Owned<pv_hypervisor> make_domain(pv_machine *machine, bool privileged)
{
    pv_domain_config config{};
    config.abi = PV_ABI_X86_64;
    config.memory = 16 << 20;
    config.vcpus = 1;
    config.privileged = privileged;
    int domid = pv_domain_create(machine, DOMID_INVALID, &config);
    check(domid >= 0, "pv_domain_create");
    pv_domain_unpause(machine, static_cast<domid_t>(domid));
    pv_hypervisor *hypervisor = nullptr;
    check(pv_machine_open_hypervisor(machine, static_cast<domid_t>(domid), &hypervisor) == 0,
          "pv_machine_open_hypervisor");
    return Owned<pv_hypervisor>(hypervisor);
}

class Frontend
{
  public:
    Frontend(pv_hypervisor *guest, domid_t backend)
        : guest_(guest), pages_(static_cast<uint8_t *>(guest->ops->pages_alloc(guest, 2))),
          events_(guest->ops->evtchn_open(guest))
    {
        check(pages_ && events_, "pages and events");
        check(guest->ops->grant_access(guest, backend, pages_, false, &ring_ref) == 0, "grant");
        check(guest->ops->grant_access(guest, backend, data(), false, &data_ref_) == 0, "grant");
        port = static_cast<evtchn_port_t>(guest->ops->evtchn_bind_unbound_port(events_, backend));
        pv_sring *sring = reinterpret_cast<pv_sring *>(pages_);
        pv_sring_init(sring);
        pv_front_ring_attach(&ring_, sring, 4096, pv_blkif_slot_size(PV_ABI_X86_64), 0);
    }
    Frontend(const Frontend &) = delete;
    Frontend &operator=(const Frontend &) = delete;

    uint8_t *data()
    {
        return pages_ + 4096;
    }

    void issue(uint8_t operation, uint64_t sector)
    {
        pv_blkif_request request{};
        request.operation = operation;
        request.nr_segments = 1;
        request.id = sector;
        request.sector_number = sector;
        request.seg[0].gref = data_ref_;
        pv_blkif_encode_request(PV_ABI_X86_64, &request,
                                pv_front_request_slot(&ring_, ring_.req_prod_pvt++));
        if (pv_front_push_requests(&ring_))
            guest_->ops->evtchn_notify(events_, port);
    }

    pv_blkif_response take()
    {
        check(pv_front_unconsumed_responses(&ring_) == 1, "the answer");
        std::vector<uint8_t> slot(ring_.slot_size);
        pv_front_copy_response(&ring_, ring_.rsp_cons++, slot.data(), slot.size());
        pv_blkif_response response{};
        pv_blkif_decode_response(PV_ABI_X86_64, slot.data(), &response);
        return response;
    }

    grant_ref_t ring_ref = 0;
    evtchn_port_t port = 0;

  private:
    pv_hypervisor *guest_;
    uint8_t *pages_;
    pv_evtchn *events_;
    grant_ref_t data_ref_ = 0;
    pv_front_ring ring_{};
};

int main()
{
    auto machine = make_machine();
    auto dom0 = make_domain(machine.get(), true), guest = make_domain(machine.get(), false);
    Owned<pv_blk_store> store(pv_ram_store_create(2048, 512));
    Frontend frontend(guest.get(), dom0->domid);
    pv_blkback_config config{};
    config.hypervisor = dom0.get();
    config.evtchn = dom0->ops->evtchn_open(dom0.get());
    config.frontend = guest->domid;
    config.abi = PV_ABI_X86_64;
    config.ring_refs = &frontend.ring_ref;
    config.ring_pages = 1;
    config.remote_port = frontend.port;
    config.store = store.get();
    Owned<pv_blkback_queue> backend(pv_blkback_create(&config));
    check(backend != nullptr, "pv_blkback_create");

    for (uint8_t operation : {BLKIF_OP_WRITE, BLKIF_OP_READ}) {
        std::fill_n(frontend.data(), 512, operation == BLKIF_OP_WRITE ? 0xA5 : 0);
        frontend.issue(operation, 7);
        while (pv_blkback_pump(backend.get(), 32, pv_machine_now(machine.get())) > 0)
            ;
        pv_blkif_response response = frontend.take();
        check(response.id == 7 && response.status == BLKIF_RSP_OKAY, "the request");
    }
    check(std::all_of(frontend.data(), frontend.data() + 512,
                      [](uint8_t byte) { return byte == 0xA5; }),
          "reading what was written");
    char line[256];
    pv_blkback_describe(backend.get(), line, sizeof line);
    std::puts(line);
    return 0;
}
