// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Known faults of a kernel module, done on request:
 *
 *   echo "kmalloc 23" > /proc/slabtrace_faults       leaks 23 objects of kmalloc
 *
 * Each fault is a function of its own that is never inlined, and what it calls here always is, so that
 * call sites and stacks name the fault.
 * Those called leak_* keep their objects for ever; those called free_* give all of them back, in ways
 * that are allowed.  Those called bad_* free wrongly, each in a cache that nothing else uses and that it never
 * allocates from again: what is spoilt, nobody meets.
 */
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#define SMALL 200	 /* no multiple of a cache's size: 8 more than kmalloc-192 takes */
#define LARGE (32 << 10) /* more than any kmalloc cache has */
#define BULK  16

struct object {
	struct object *next;
	struct rcu_head rcu;
	char body[SMALL - sizeof(void *) - sizeof(struct rcu_head)];
};

static struct kmem_cache *cache;
/* One for each of the bad frees, and one that a free is told wrongly. */
static struct kmem_cache *for_double, *for_interior, *for_wrong, *for_panic, *other;

/* A constructor keeps a cache from being merged with others, on every kernel. */
static void construct(void *object)
{
	memset(object, 0, sizeof(struct object));
}

static noinline void leak_kmalloc(int count)
{
	while (count--)
		(void)!kmalloc(SMALL, GFP_KERNEL);
}

static noinline void leak_kzalloc(int count)
{
	while (count--)
		(void)!kzalloc(SMALL, GFP_KERNEL);
}

static noinline void leak_node(int count)
{
	while (count--)
		(void)!kmalloc_node(SMALL, GFP_KERNEL, 0);
}

static noinline void leak_large(int count)
{
	while (count--)
		(void)!kmalloc(LARGE, GFP_KERNEL);
}

static noinline void leak_cache(int count)
{
	while (count--)
		(void)!kmem_cache_alloc(cache, GFP_KERNEL);
}

/* Grown from one cache to another: what was allocated first is freed. */
static noinline void leak_krealloc(int count)
{
	while (count--)
		(void)!krealloc(kmalloc(SMALL / 4, GFP_KERNEL), SMALL, GFP_KERNEL);
}

/* In place: nothing is allocated and nothing freed, but one object stays. */
static noinline void leak_krealloc_in_place(int count)
{
	while (count--)
		(void)!krealloc(kmalloc(SMALL, GFP_KERNEL), SMALL + 1, GFP_KERNEL);
}

static __always_inline struct object *allocate(int count)
{
	struct object *list = NULL, *object;

	while (count--) {
		object = kmalloc(sizeof(*object), GFP_KERNEL);
		if (!object)
			break;
		object->next = list;
		list = object;
	}
	return list;
}

static __always_inline void free_list(struct object *list)
{
	struct object *next;

	for (; list; list = next) {
		next = list->next;
		kfree(list);
	}
}

static noinline void free_kmalloc(int count)
{
	free_list(allocate(count));
}

static noinline void free_rcu(int count)
{
	struct object *list = allocate(count), *next;

	for (; list; list = next) {
		next = list->next;
		kfree_rcu(list, rcu);
	}
	rcu_barrier();
}

static noinline void free_bulk(int count)
{
	void *objects[BULK];
	int size;

	for (; count; count -= size) {
		size = min(count, BULK);
		if (!kmem_cache_alloc_bulk(cache, GFP_KERNEL, size, objects))
			return;
		kmem_cache_free_bulk(cache, size, objects);
	}
}

/* One allocates in bulk, the other frees one by one, and the other way round. */
static noinline void free_bulk_singly(int count)
{
	void *objects[BULK];
	int size, i;

	for (; count; count -= size) {
		size = min(count, BULK);
		if (!kmem_cache_alloc_bulk(cache, GFP_KERNEL, size, objects))
			return;
		for (i = 0; i < size; i++)
			kmem_cache_free(cache, objects[i]);
	}
}

static noinline void free_singly_bulk(int count)
{
	void *objects[BULK];
	int size, i;

	for (; count; count -= size) {
		size = min(count, BULK);
		for (i = 0; i < size; i++)
			objects[i] = kmalloc(SMALL, GFP_KERNEL);
		kfree_bulk(size, objects);
	}
}

/* Every allocator of today takes an object of any cache here. */
static noinline void free_by_kfree(int count)
{
	while (count--)
		kfree(kmem_cache_alloc(cache, GFP_KERNEL));
}

/*
 * What bad frees free: all is allocated before the first of them.  Three of four objects stay, so that
 * no slab ever counts as empty, whatever is freed too often.
 */
#define MOST_BAD 64
static void *victims[MOST_BAD];

static __always_inline void allocate_victims(struct kmem_cache *from, int count)
{
	int i;

	for (i = 0; i < 4 * count; i++)
		victims[i / 4] = kmem_cache_alloc(from, GFP_KERNEL);
}

/*
 * With the free of another object of the same slab between: the allocator's own check (FREELIST_HARDENED)
 * compares with the last one only.
 */
static noinline void bad_double_free(int count)
{
	int i, most = 3 * count;

	allocate_victims(for_double, most);
	for (i = 1; i < most && count; i++) {
		if (virt_to_head_page(victims[i - 1]) != virt_to_head_page(victims[i]))
			continue;
		kmem_cache_free(for_double, victims[i - 1]);
		kmem_cache_free(for_double, victims[i]);
		kmem_cache_free(for_double, victims[i - 1]);
		count--;
		i++;
	}
}

static noinline void bad_interior_free(int count)
{
	allocate_victims(for_interior, count);
	while (count--)
		kfree(victims[count] + sizeof(void *));
}

static noinline void bad_cache_free(int count)
{
	allocate_victims(for_wrong, count);
	while (count--)
		kmem_cache_free(other, victims[count]);
}

/* At once: the allocator's own check ends this task, and (oops=panic) the machine. */
static noinline void bad_panic(int count)
{
	allocate_victims(for_panic, 1);
	while (count--)
		kmem_cache_free(for_panic, victims[0]);
}

/* What an interrupt or another CPU shall free. */
static struct object *handed_over;

static void in_tasklet(struct tasklet_struct *unused)
{
	free_list(handed_over);
}

static noinline void free_softirq(int count)
{
	static DECLARE_TASKLET(tasklet, in_tasklet);

	handed_over = allocate(count);
	local_bh_disable();
	tasklet_schedule(&tasklet);
	local_bh_enable(); /* softirqs run here and now */
	tasklet_kill(&tasklet);
}

static void in_irq_work(struct irq_work *unused)
{
	free_list(handed_over);
}

static noinline void free_hardirq(int count)
{
	static struct irq_work work;

	init_irq_work(&work, in_irq_work);
	handed_over = allocate(count);
	irq_work_queue(&work);
	irq_work_sync(&work);
}

static void on_other_cpu(struct work_struct *unused)
{
	free_list(handed_over);
}

static noinline void free_other_cpu(int count)
{
	static DECLARE_WORK(work, on_other_cpu);
	int other;

	handed_over = allocate(count);
	other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	schedule_work_on(other, &work);
	flush_work(&work);
}

#define FAULT(name) {#name, name}
static const struct fault {
	const char *name;
	void (*run)(int count);
} faults[] = {
	FAULT(leak_kmalloc),
	FAULT(leak_kzalloc),
	FAULT(leak_node),
	FAULT(leak_large),
	FAULT(leak_cache),
	FAULT(leak_krealloc),
	FAULT(leak_krealloc_in_place),
	FAULT(free_kmalloc),
	FAULT(free_rcu),
	FAULT(free_bulk),
	FAULT(free_bulk_singly),
	FAULT(free_singly_bulk),
	FAULT(free_softirq),
	FAULT(free_hardirq),
	FAULT(free_other_cpu),
	FAULT(free_by_kfree),
	FAULT(bad_double_free),
	FAULT(bad_interior_free),
	FAULT(bad_cache_free),
	FAULT(bad_panic),
};

static ssize_t fault_write(struct file *file, const char __user *text, size_t length, loff_t *at)
{
	char line[64] = {}, name[32];
	int count;
	size_t i;

	if (length >= sizeof(line) || copy_from_user(line, text, length))
		return -EINVAL;
	if (sscanf(line, "%31s %d", name, &count) != 2 || count < 0)
		return -EINVAL;
	if (!strncmp(name, "bad_", 4) && count > MOST_BAD / 3)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (!strcmp(faults[i].name, name)) {
			faults[i].run(count);
			return length;
		}
	}
	return -ENOENT;
}

static const struct proc_ops operations = {.proc_write = fault_write};

static struct kmem_cache *make_cache(const char *name)
{
	return kmem_cache_create(name, sizeof(struct object), 0, 0, construct);
}

/* What fails here, fails in a test: nothing is taken back. */
static int __init faults_init(void)
{
	cache = make_cache("slabtrace_object");
	for_double = make_cache("slabtrace_double");
	for_interior = make_cache("slabtrace_interior");
	for_wrong = make_cache("slabtrace_wrong");
	for_panic = make_cache("slabtrace_panic");
	other = make_cache("slabtrace_other");
	if (!cache || !for_double || !for_interior || !for_wrong || !for_panic || !other)
		return -ENOMEM;
	return proc_create("slabtrace_faults", 0200, NULL, &operations) ? 0 : -ENOMEM;
}

static void __exit faults_exit(void)
{
	remove_proc_entry("slabtrace_faults", NULL);
	/* the caches stay, as objects of them do: destroying them would be a fault of another kind */
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Known slab faults for slabtrace's tests");
MODULE_LICENSE("Dual MIT/GPL");
