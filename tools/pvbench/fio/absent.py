"""fio's options that are not here, by the reason: some are accepted and say so, some refused."""

# Nothing of what these change exists here, so a job does the same without them.
IGNORED = {
    "operations go through a guest's ring; the backend chooses how it does them": """
        ioengine iomem iomem_align mem_align fadvise_hint io_submit_mode ioscheduler write_hint
        iodepth_batch iodepth_batch_submit iodepth_batch_complete_min iodepth_batch_complete_max
        iodepth_batch_complete iodepth_low""",
    "there is a disk, and no files to be made, laid out or removed": """
        directory fallocate create_serialize create_fsync create_on_open allow_file_create
        allow_mounted_write overwrite openfiles nrfiles nr_files file_service_type unlink
        unlink_each_loop fsync_on_close pre_read invalidate unique_filename filename_format
        opendir""",
    "a job's clones are driven by one thread, jobs by a thread each": """
        thread create_only prio prioclass nice lockmem cgroup cgroup_nodelete cgroup_weight""",
    "random blocks come from a permutation that a seed chooses": """
        random_generator randrepeat allrandrepeat use_os_rand softrandommap""",
    "all latencies are measured with clock_gettime": """
        clocksource gtod_cpu gtod_reduce disable_lat disable_clat disable_slat
        disable_bw_measurement disable_bw""",
    "the data are random bytes from the seed, or carry what verify needs": """
        refill_buffers scramble_buffers zero_buffers buffer_pattern buffer_compress_percentage
        buffer_compress_chunk dedupe_percentage dedupe_mode dedupe_working_set_percentage
        dedupe_global""",
    "it is for the eye or for fio's own memory": """
        description disk_util significant_figures unit_base log_entries log_compression
        log_compression_cpus log_store_compressed hugepage_size bwavgtime iopsavgtime eta
        eta_newline alloc_size max_jobs warnings_fatal""",
    "every block of a run with verify is checked, and a wrong one ends it with exit code 1": """
        do_verify verify_fatal verify_dump verify_async verify_async_cpus verify_state_save""",
}

# A job would do something else than its author expects.
REFUSED = {
    "write bs, bsrange or bssplit; all offsets are multiples of the smallest": """
        ba blockalign bs_unaligned blocksize_unaligned bs_is_seq_rand""",
    "a job ends by size, io_size, loops or runtime": """
        number_ios fill_device fill_fs verify_only
        steadystate ss ss_dur ss_ramp steadystate_duration steadystate_ramp_time
        exitall exit_what exitall_on_error wait_for startdelay""",
    "write rwmixread": "rwmixwrite",
    "write direct": "buffered",
    "write fsync, which is a flush; a disk has no other here": """
        fdatasync sync_file_range write_barrier sync end_fsync atomic""",
    "a disk has one offset and one size for a job and its clones": """
        offset_increment offset_align filesize file_append lockfile""",
    "writes of one block never overlap with verify, and may without": "serialize_overlap",
    "operations are sequential or random throughout": """
        percentage_random rw_sequencer sequencer""",
    "a rate is kept by steady spacing, and caught up with": """
        rate_min ratemin rate_process rate_cycle ratecycle rate_ignore_thinktime rate_iops_min""",
    "a think time is slept, after completed operations": """
        thinktime_spin thinktime_blocks_type thinktime_iotime""",
    "no latency ends or shapes a job": """
        max_latency latency_target latency_window latency_percentile latency_run""",
    "an error ends the job": "ignore_error continue_on_error error_dump block_error_percentiles",
    "a block verified is checked as a whole, with verify=crc32c": """
        verify_interval verify_offset verify_pattern verify_backlog verify_backlog_batch
        experimental_verify verify_state_load trim_percentage trim_verify_zero trim_backlog
        trim_backlog_batch""",
    "no I/O log is replayed or written": """
        write_iolog read_iolog read_iolog_chunked replay_no_stall replay_redirect replay_scale
        replay_align replay_time_scale replay_skip merge_blktrace_file merge_blktrace_scalars
        merge_blktrace_iters""",
    "no commands are run": "exec_prerun exec_postrun",
    "disks have no zones here": """
        zonemode zonesize zonecapacity zonerange zoneskip read_beyond_wp max_open_zones
        job_max_open_zones ignore_zone_limits zone_reset_threshold zone_reset_frequency""",
    "write cpus, which is for both halves": """
        cpumask cpus_allowed cpus_allowed_policy numa_cpu_nodes numa_mem_policy""",
    "logs have milliseconds since the run began, a file for each clone and means of windows": """
        per_job_logs log_hist_msec log_hist_coarseness write_hist_log log_max_value log_prio
        log_unix_epoch log_alternate_epoch log_alternate_epoch_clock_id bandwidth_log""",
    "reads, writes and trims are reported apart": "unified_rw_reporting stats",
    "pvbench runs as the user who started it": "uid gid",
    "jobs do not wait for each other but by stonewall": "flow_id flow flow_sleep",
    "write output-format=terse, which is fio's version 3": "minimal terse_version append_terse",
    "no server, no trigger and no tool of fio's is in pvbench": """
        server client daemonize remote_config idle_prof inflate_log trigger_file trigger_timeout
        trigger trigger_remote aux_path debug parse_only merge_blktrace_only cpuclock_test crctest
        cmdhelp enghelp showcmd""",
}


# Of the ignored ones, those that have no value but 0 or 1.
FLAGS = frozenset("thread refill_buffers zero_buffers".split())


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in table.items() for name in names.split()}


WHY_IGNORED = _by_name(IGNORED)
WHY_REFUSED = _by_name(REFUSED)
