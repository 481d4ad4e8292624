"""Options, jobs and reports of disks, as fio has them."""
