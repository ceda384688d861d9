# SPDX-License-Identifier: Apache-2.0
"""What the kernel's functions allocate: the table behind objects.py, one row for each kind of object.

Every row follows from the source file named above it (Linux 5.10 to 6.18).  A function stands for a kind only
if all that it allocates from these caches is of that kind; where the compiler may have inlined it, its
callers stand beside it.  `holders` is a command that shows who holds such objects, with PID for a process:
it must show all of them, or say which.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """Objects called `name`, allocated by one of `functions` from one of `caches` (shell patterns).

    `functions` and `caches` are names with spaces between.  No `caches`: kmalloc.  Of the kinds of one
    cache the first is the general one: what an object is if its cache is not merged and the function not
    known.  `struct`: the type of what lies at the address, "" where there are several, or differ by kernel.
    `holders`: see the module; "" where there is none.
    """

    name: str
    functions: str
    caches: str = ""
    struct: str = ""
    holders: str = ""


INOTIFY_EVENT, FANOTIFY_EVENT = "unread inotify event", "unread fanotify event"
_FDS = "`ls -l /proc/PID/fd` of those that opened them"
_DELETED = "`lsof +L1` shows the files that are deleted but open"
_PINNED = "`ls -l /proc/PID/fd /proc/PID/cwd`; mounts and watches hold them, too"
_SOCKETS = "`ls -l /proc/PID/fd` shows each process's sockets, `ss -anp` those that are bound"
_UNREAD = "where nobody reads the sockets with a high Recv-Q"
_UNIX_UNREAD = f"`ss -xap`, {_UNREAD}"
_ANY_UNREAD = f"`ss -anp` in each network namespace, {_UNREAD}"
_UDP_UNREAD = f"`ss -uanp` in each network namespace, {_UNREAD}"
_UNREAD_FILES = "where nobody reads these files"
_CGROUPS = "`find /sys/fs/cgroup -type d`; removed ones: nr_dying_descendants in /sys/fs/cgroup/cgroup.stat"
_NETNS = "`lsns -t net`, and `ip netns` for those without a process"
_ROUTES = "`ip route show table all`, `ip -6 route show table all`"
_LOCKS = "`lslocks` (/proc/locks)"
_MAPS = "`wc -l /proc/PID/maps`"
_ZOMBIES = "`ps -eo pid,ppid,stat,args`; of zombies (stat Z) ask the parent, which does not wait"
_MOUNTS = "`findmnt -N PID` in each mount namespace (`lsns -t mnt`)"
_KEYS = "/proc/key-users counts them by user, /proc/keys lists those you may see"
_BPF_MAPS = "`bpftool map show` lists the maps, with the processes that hold them"

_SKB = "skbuff_head_cache skbuff_fclone_cache"
_DATA = "kmalloc-* skbuff_small_head"
_CSS = (
    "cgroup_mkdir cgroup_create cgroup_apply_control_enable css_create mem_cgroup_alloc mem_cgroup_css_alloc "
    "alloc_mem_cgroup_per_node_info mem_cgroup_css_online alloc_shrinker_info psi_cgroup_alloc "
    "perf_cgroup_css_alloc cpuset_css_alloc pids_css_alloc blkcg_css_alloc cgroup_bpf_inherit"
)

KINDS = (
    # net/core/skbuff.c; more exactly by who sends, see below
    Kind("socket buffer", "__alloc_skb __build_skb build_skb skb_clone alloc_skb_for_msg __napi_alloc_skb napi_build_skb", _SKB, "struct sk_buff", _ANY_UNREAD),
    Kind("data of a socket buffer", "__alloc_skb pskb_expand_head __kmalloc_reserve kmalloc_reserve", _DATA, "", _ANY_UNREAD),
    # net/unix/af_unix.c; UNIX-STREAM since 5.15 (94531cfcbe79)
    Kind("UNIX socket", "unix_create1 unix_create unix_stream_connect", "UNIX UNIX-STREAM", "struct unix_sock", "`ss -xap`"),
    Kind("message on a UNIX socket", "unix_stream_sendmsg unix_dgram_sendmsg", _SKB, "struct sk_buff", _UNIX_UNREAD),
    Kind("data of a message on a UNIX socket", "unix_stream_sendmsg unix_dgram_sendmsg", _DATA, "", _UNIX_UNREAD),
    # net/core/scm.c: SCM_RIGHTS
    Kind("list of files in a message", "scm_fp_copy __scm_send scm_fp_dup", "", "struct scm_fp_list", _UNIX_UNREAD),
    # net/ipv4/af_inet.c, net/ipv6/af_inet6.c, net/ipv4/tcp_minisocks.c, include/net/request_sock.h
    Kind("TCP socket", "inet_create inet6_create tcp_create_openreq_child inet_csk_clone_lock", "TCP", "struct tcp_sock", _SOCKETS),
    Kind("TCP socket (IPv6)", "inet6_create tcp_create_openreq_child inet_csk_clone_lock", "TCPv6", "struct tcp6_sock", _SOCKETS),
    Kind("UDP socket", "inet_create", "UDP", "struct udp_sock", _SOCKETS),
    Kind("UDP socket (IPv6)", "inet6_create", "UDPv6", "struct udp6_sock", _SOCKETS),
    Kind("ping socket", "inet_create", "PING", "", "`ss -anp`"),
    Kind("ping socket (IPv6)", "inet6_create", "PINGv6", "", "`ss -anp`"),
    Kind("raw socket", "inet_create", "RAW", "struct raw_sock", "`ss -wanp`"),
    Kind("raw socket (IPv6)", "inet6_create", "RAWv6", "struct raw6_sock", "`ss -wanp`"),
    Kind("TCP connection in TIME_WAIT", "inet_twsk_alloc", "tw_sock_TCP tw_sock_TCPv6", "struct tcp_timewait_sock", "`ss -tan state time-wait`"),
    Kind("TCP connection request", "inet_reqsk_alloc reqsk_alloc", "request_sock_TCP request_sock_TCPv6", "struct tcp_request_sock", "`ss -tan state syn-recv`"),
    Kind("TCP port", "inet_bind_bucket_create", "tcp_bind_bucket", "struct inet_bind_bucket", "`ss -tanp`"),
    Kind("TCP port and address", "inet_bind2_bucket_create", "tcp_bind2_bucket", "struct inet_bind2_bucket", "`ss -tanp`"),
    # net/packet/af_packet.c, net/netlink/af_netlink.c (both by kmalloc), net/vmw_vsock/af_vsock.c
    Kind("packet socket", "packet_create", "PACKET kmalloc-*", "struct packet_sock", "`ss -0anp`"),
    Kind("netlink socket", "__netlink_create netlink_create", "NETLINK kmalloc-*", "struct netlink_sock", "`ss -anp -f netlink`"),
    Kind("vsock socket", "__vsock_create", "AF_VSOCK", "struct vsock_sock", "`ss -anp --vsock`"),
    # net/ipv4/udp.c, net/ipv6/udp.c, net/ipv4/tcp.c
    Kind("UDP datagram", "udp_sendmsg udpv6_sendmsg", _SKB, "struct sk_buff", _UDP_UNREAD),
    Kind("data of a UDP datagram", "udp_sendmsg udpv6_sendmsg", _DATA, "", _UDP_UNREAD),
    Kind("TCP segment", "tcp_stream_alloc_skb sk_stream_alloc_skb tcp_sendmsg_locked", _SKB, "struct sk_buff", "`ss -tanp`: a high Recv-Q is not read, a high Send-Q not acknowledged"),
    # net/socket.c
    Kind("inode of a socket", "sock_alloc_inode", "sock_inode_cache", "struct socket_alloc", _SOCKETS),
    # net/core/net_namespace.c; what each part of the network allocates for a namespace: ops_init
    Kind("network namespace", "net_alloc copy_net_ns", "net_namespace", "struct net", _NETNS),
    Kind("part of a network namespace", "ops_init setup_net", "", "", _NETNS),
    # net/core/neighbour.c, net/ipv4/fib_trie.c, net/ipv4/fib_semantics.c, net/ipv6/ip6_fib.c
    Kind("neighbour", "neigh_alloc ___neigh_create __neigh_create", "", "struct neighbour", "`ip neigh show nud all`, `ip -6 neigh show nud all`"),
    Kind("route", "fib_table_insert", "ip_fib_alias", "struct fib_alias", _ROUTES),
    Kind("node of the routing table", "fib_insert_alias leaf_new fib_insert_node tnode_new tnode_alloc", "ip_fib_trie kmalloc-*", "", _ROUTES),
    Kind("next hop of a route", "fib_create_info", "", "struct fib_info", _ROUTES),
    Kind("route (IPv6)", "fib6_info_alloc", "", "struct fib6_info", _ROUTES),
    Kind("node of the routing table (IPv6)", "node_alloc fib6_add fib6_add_1", "fib6_node", "struct fib6_node", _ROUTES),
    Kind("route in use", "dst_alloc rt_dst_alloc ip6_dst_alloc", "rtable ip_dst_cache ip6_dst_cache", "", ""),
    # net/netfilter/nf_conntrack_core.c
    Kind("tracked connection", "__nf_conntrack_alloc", "nf_conntrack", "struct nf_conn", "`conntrack -L`; /proc/sys/net/netfilter/nf_conntrack_count"),
    # fs/file_table.c; more exactly by who opened it: fs/eventfd.c, fs/pipe.c, net/socket.c, mm/shmem.c
    Kind("open file", "alloc_empty_file __alloc_file alloc_empty_file_noaccount", "filp", "struct file", _FDS),
    Kind("open eventfd", "do_eventfd", "filp", "struct file", _FDS),
    Kind("open pipe", "create_pipe_files", "filp", "struct file", _FDS),
    Kind("open socket", "sock_alloc_file", "filp", "struct file", _SOCKETS),
    Kind("open epoll instance", "do_epoll_create", "filp", "struct file", _FDS),
    Kind("open memory file", "__shmem_file_setup", "filp", "struct file", _FDS),
    Kind("eventfd", "do_eventfd", "", "struct eventfd_ctx", _FDS),
    Kind("part of a pipe", "alloc_pipe_info", "", "", _FDS),
    Kind("inode", "", "inode_cache", "struct inode", ""),
    Kind("inode of a pipe", "create_pipe_files get_pipe_inode", "inode_cache", "struct inode", _FDS),
    Kind("security data of an open file", "security_file_alloc", "lsm_file_cache", "", _FDS),
    Kind("table of file descriptors", "alloc_fdtable", "", "", _FDS),
    # fs/eventpoll.c
    Kind("epoll item", "ep_insert do_epoll_ctl", "eventpoll_epi", "struct epitem", "`grep -c tfd: /proc/PID/fdinfo/*` counts them in each epoll"),
    Kind("wait entry of an epoll item", "ep_ptable_queue_proc", "eventpoll_pwq", "struct eppoll_entry", "`grep -c tfd: /proc/PID/fdinfo/*` counts them in each epoll"),
    Kind("epoll instance", "ep_alloc do_epoll_create", "", "struct eventpoll", _FDS),
    # fs/notify/inotify/inotify_user.c, fs/notify/fanotify/fanotify_user.c, fs/notify/mark.c
    Kind("inotify watch", "inotify_new_watch inotify_update_watch", "inotify_inode_mark", "struct inotify_inode_mark", "`grep -c inotify /proc/PID/fdinfo/*` counts them in each process"),
    Kind("fanotify mark", "fanotify_add_new_mark", "fanotify_mark", "", "`grep -c fanotify /proc/PID/fdinfo/*` counts them in each process"),
    Kind("link of a file to its watches", "fsnotify_add_mark_locked fsnotify_attach_connector_to_object", "fsnotify_mark_connector", "struct fsnotify_mark_connector", "`grep -c notify /proc/PID/fdinfo/*` counts watches in each process"),
    Kind(INOTIFY_EVENT, "inotify_handle_inode_event inotify_handle_event", "", "struct inotify_event_info", f"`grep -l inotify /proc/[0-9]*/fdinfo/*`, {_UNREAD_FILES}"),
    Kind(FANOTIFY_EVENT, "fanotify_alloc_event fanotify_handle_event", "kmalloc-* fanotify_event* fanotify_path_event fanotify_fid_event fanotify_perm_event fanotify_mnt_event", "", f"`grep -l fanotify /proc/[0-9]*/fdinfo/*`, {_UNREAD_FILES}"),
    # fs/locks.c
    Kind("file lock", "locks_alloc_lock posix_lock_inode flock_lock_inode do_flock fcntl_setlk sys_flock", "file_lock_cache", "struct file_lock", _LOCKS),
    Kind("list of a file's locks", "locks_get_lock_context", "file_lock_ctx", "struct file_lock_context", _LOCKS),
    Kind("lease on a file", "lease_alloc fcntl_setlease do_fcntl_add_lease", "file_lease_cache", "", _LOCKS),
    Kind("request for SIGIO", "fasync_alloc fasync_insert_entry fcntl_setlease do_fcntl_add_lease", "fasync_cache", "struct fasync_struct", _FDS),
    # fs/dcache.c, fs/inode.c and file systems: the inode begins within the object
    Kind("dentry", "__d_alloc d_alloc", "dentry", "struct dentry", _PINNED),
    Kind("dentry of a socket", "sock_alloc_file", "dentry", "struct dentry", _SOCKETS),
    Kind("dentry of a pipe", "create_pipe_files", "dentry", "struct dentry", _FDS),
    Kind("dentry of an eventfd", "do_eventfd", "dentry", "struct dentry", _FDS),
    Kind("dentry of a memory file", "__shmem_file_setup", "dentry", "struct dentry", _FDS),
    Kind("long name of a dentry", "__d_alloc", "kmalloc-rcl-* kmalloc-*", "", ""),
    Kind("inode of ext4", "ext4_alloc_inode", "ext4_inode_cache", "struct ext4_inode_info", _DELETED),
    Kind("inode of XFS", "xfs_inode_alloc xfs_iget", "xfs_inode", "struct xfs_inode", _DELETED),
    Kind("inode of btrfs", "btrfs_alloc_inode", "btrfs_inode", "struct btrfs_inode", _DELETED),
    Kind("inode of tmpfs", "shmem_alloc_inode", "shmem_inode_cache", "struct shmem_inode_info", "`df -i -t tmpfs` counts the files of each"),
    Kind("inode of a shared memory segment", "newseg", "shmem_inode_cache", "struct shmem_inode_info", "`ipcs -m -p`"),
    Kind("inode of a memory file", "memfd_create sys_memfd_create memfd_alloc_file", "shmem_inode_cache", "struct shmem_inode_info", _FDS),
    Kind("inode of shared anonymous memory", "shmem_zero_setup shmem_zero_setup_desc", "shmem_inode_cache", "struct shmem_inode_info", _MAPS),
    Kind("inode of /proc", "proc_alloc_inode", "proc_inode_cache", "struct proc_inode", _PINNED),
    Kind("inode of overlayfs", "ovl_alloc_inode", "ovl_inode", "struct ovl_inode", _DELETED),
    Kind("inode of NFS", "nfs_alloc_inode", "nfs_inode_cache", "struct nfs_inode", _DELETED),
    Kind("inode of FUSE", "fuse_alloc_inode", "fuse_inode", "struct fuse_inode", _DELETED),
    Kind("inode of a namespace or a pidfd", "path_from_stashed", "inode_cache", "struct inode", _FDS),
    Kind("inode of a namespace", "ns_get_path ns_get_path_cb __ns_get_path proc_ns_get_link open_related_ns", "inode_cache", "struct inode", "`lsns` lists namespaces, `ls -l /proc/PID/fd` the open ones"),
    Kind("inode of a pidfd", "pidfs_alloc_file", "inode_cache", "struct inode", _FDS),
    Kind("security data of an inode", "security_inode_alloc", "lsm_inode_cache", "", ""),
    Kind("extended attribute", "simple_xattr_alloc", "", "struct simple_xattr", "`getfattr -d -m - FILE` lists those of a file"),
    Kind("buffer head", "alloc_buffer_head", "buffer_head", "struct buffer_head", ""),
    Kind("cached extent of ext4", "__es_insert_extent ext4_es_insert_extent", "ext4_extent_status extent_status", "struct extent_status", ""),
    Kind("entry of /proc", "__proc_create", "proc_dir_entry", "struct proc_dir_entry", ""),
    Kind("table of sysctls", "__register_sysctl_table new_dir __register_sysctl_init", "", "", ""),
    # fs/namespace.c
    Kind("mount", "alloc_vfsmnt", "mnt_cache", "struct mount", _MOUNTS),
    Kind("mount point", "get_mountpoint", "", "struct mountpoint", _MOUNTS),
    Kind("name of a mount's device", "alloc_vfsmnt", "", "", _MOUNTS),
    # fs/kernfs/dir.c: sysfs and cgroup files; more exactly by who made it: kernel/cgroup/cgroup.c
    Kind("kernfs node", "__kernfs_new_node", "kernfs_node_cache", "struct kernfs_node", ""),
    Kind("name of a kernfs node", "__kernfs_new_node", "", "", ""),
    Kind("file of a cgroup", "cgroup_addrm_files cgroup_add_file", "kernfs_node_cache", "struct kernfs_node", _CGROUPS),
    Kind("directory of a cgroup", "cgroup_mkdir cgroup_create", "kernfs_node_cache", "struct kernfs_node", _CGROUPS),
    Kind("part of a cgroup", _CSS, "kmalloc-* mem_cgroup", "", _CGROUPS),
    Kind("per-node part of a cgroup", "mem_cgroup_css_alloc alloc_mem_cgroup_per_node_info", "mem_cgroup_per_node", "struct mem_cgroup_per_node", _CGROUPS),
    # kernel/time/posix-timers.c; fs/timerfd.c
    Kind("POSIX timer", "alloc_posix_timer do_timer_create sys_timer_create", "posix_timers_cache", "struct k_itimer", "`grep -c ID: /proc/PID/timers` counts them in each process"),
    # kernel/signal.c
    Kind("queued signal", "__sigqueue_alloc sigqueue_alloc __send_signal_locked __send_signal send_signal_locked", "sigqueue", "struct sigqueue", "SigQ and SigBlk in /proc/PID/status"),
    # ipc/msgutil.c (also the segments of a message of more than a page: struct msg_msgseg), ipc/msg.c, ipc/mqueue.c, ipc/shm.c, ipc/sem.c
    Kind("message in a queue", "alloc_msg load_msg", "msg_msg-* kmalloc-*", "struct msg_msg", "`ipcs -q` shows how many wait in each queue, `ipcs -q -p` who sent last"),
    Kind("message queue", "newque", "", "struct msg_queue", "`ipcs -q -c`"),
    Kind("shared memory segment", "newseg", "", "struct shmid_kernel", "`ipcs -m -p`"),
    Kind("semaphore set", "newary sem_alloc", "", "struct sem_array", "`ipcs -s -c`"),
    # security/keys/key.c, security/keys/user_defined.c, lib/assoc_array.c
    Kind("key", "key_alloc", "key_jar", "struct key", _KEYS),
    Kind("payload of a key", "user_preparse", "", "struct user_key_payload", _KEYS),
    Kind("description of a key", "key_alloc", "", "", _KEYS),
    Kind("node of a keyring", "assoc_array_insert", "", "", _KEYS),
    # kernel/fork.c, kernel/cred.c, kernel/pid.c, fs/file.c, fs/fs_struct.c, kernel/nsproxy.c
    Kind("task", "dup_task_struct copy_process", "task_struct", "struct task_struct", _ZOMBIES),
    Kind("signal state of a process", "copy_signal copy_process", "signal_cache", "struct signal_struct", _ZOMBIES),
    Kind("signal handlers of a process", "copy_sighand copy_process", "sighand_cache", "struct sighand_struct", _ZOMBIES),
    Kind("credentials", "prepare_creds cred_alloc_blank prepare_kernel_cred", "cred cred_jar", "struct cred", ""),
    Kind("security data of credentials", "security_prepare_creds security_cred_alloc_blank", "", "", ""),
    Kind("pid", "alloc_pid", "pid pid_2 pid_3 pid_4", "struct pid", _ZOMBIES),
    Kind("file table of a process", "dup_fd", "files_cache", "struct files_struct", _ZOMBIES),
    Kind("working directory of a process", "copy_fs_struct", "fs_cache", "struct fs_struct", _ZOMBIES),
    Kind("set of namespaces", "create_new_namespaces create_nsproxy", "nsproxy", "struct nsproxy", "`lsns`"),
    Kind("user namespace", "create_user_ns", "user_namespace", "struct user_namespace", "`lsns -t user`"),
    Kind("PID namespace", "create_pid_namespace copy_pid_ns", "pid_namespace", "struct pid_namespace", "`lsns -t pid`"),
    # mm/: address spaces
    Kind("address space", "mm_alloc dup_mm", "mm_struct", "struct mm_struct", _ZOMBIES),
    Kind("memory mapping", "vm_area_alloc vm_area_dup", "vm_area_struct", "struct vm_area_struct", _MAPS),
    Kind("anon_vma of a mapping", "anon_vma_fork __anon_vma_prepare", "anon_vma", "struct anon_vma", _MAPS),
    Kind("link of a mapping to its anon_vma", "anon_vma_clone anon_vma_fork __anon_vma_prepare", "anon_vma_chain", "struct anon_vma_chain", _MAPS),
    Kind("area of vmalloc", "alloc_vmap_area __get_vm_area_node __get_vm_area_caller", "vmap_area kmalloc-*", "", "/proc/vmallocinfo names who allocated each"),
    Kind("region of DAMON", "damon_new_region damon_split_region_at", "damon_region", "struct damon_region", ""),
    # mm/slub.c, mm/list_lru.c: the allocator's own
    Kind("bookkeeping of the slab allocator", "alloc_slab_obj_exts memcg_alloc_slab_cgroups memcg_alloc_page_obj_cgroups", "", "", ""),
    Kind("array of the slab allocator", "alloc_empty_sheaf __alloc_empty_sheaf alloc_full_sheaf", "", "", ""),
    Kind("list of a cgroup's cached objects", "memcg_list_lru_alloc memcg_init_list_lru_one", "", "", ""),
    # kernel/bpf/memalloc.c, kernel/bpf/hashtab.c
    Kind("element of a BPF map", "alloc_htab_elem htab_map_update_elem", "", "", _BPF_MAPS),
    Kind("block for BPF maps and programs", "alloc_bulk", "", "", _BPF_MAPS),
    # lib/xarray.c, lib/radix-tree.c
    Kind("node of an xarray", "xas_alloc xas_nomem radix_tree_node_alloc", "radix_tree_node", "struct xa_node", ""),
)  # fmt: skip

# All that is allocated within these functions belongs to one thing, whoever allocates it.
WITHIN = {"ops_init": "part of a network namespace", "setup_net": "part of a network namespace"}

# These allocate for their callers, who know better what for.
PASSED_THROUGH = frozenset(
    """
    kmemdup kmemdup_nul kmemdup_array kstrdup kstrdup_const kstrndup kvmalloc_node __kvmalloc_node kvmemdup
    memdup_user memdup_user_nul vmemdup_user krealloc krealloc_node_align kmalloc_trace __kmalloc
    kmem_cache_alloc kmem_cache_alloc_lru kmem_cache_alloc_node kmem_cache_zalloc kmalloc kmalloc_node
    sk_prot_alloc sk_alloc sk_clone_lock alloc_inode new_inode new_inode_pseudo alloc_anon_inode iget_locked
    alloc_empty_file __alloc_file alloc_file alloc_file_pseudo alloc_file_clone anon_inode_getfile
    anon_inode_getfile_fmode __anon_inode_getfile __d_alloc d_alloc_pseudo
    __alloc_skb alloc_skb alloc_skb_with_frags sock_alloc_send_pskb sock_alloc_send_skb kmalloc_reserve
    __kmalloc_reserve sock_wmalloc __ip_append_data __ip6_append_data ip_make_skb ip6_make_skb ip_append_data
    ip6_append_data
    shmem_alloc_inode __shmem_get_inode shmem_get_inode __shmem_file_setup shmem_file_setup
    shmem_kernel_file_setup path_from_stashed percpu_ref_init lsm_blob_alloc sk_clone
    __kernfs_new_node kernfs_new_node __kernfs_create_file kernfs_create_dir_ns
    """.split()  # noqa: SIM905
)
