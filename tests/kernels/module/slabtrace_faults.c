// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A kernel module with known faults, on request:
 *
 *   echo "leak_kmalloc 23" > /proc/slabtrace_faults       leaks 23 objects of kmalloc
 *
 * Each fault is a function that is never inlined.  The functions it calls here are always inlined, so call
 * sites and stacks show the fault's name.
 * leak_* never frees its objects.  free_* frees all of them, in allowed ways.  bad_* frees wrongly, each in a
 * cache that nothing else uses and from which it does not allocate again, so that nothing else gets a
 * damaged object.
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

#define SMALL 200	 /* not the size of a cache: 8 bytes more than kmalloc-192 has */
#define LARGE (32 << 10) /* larger than every kmalloc cache */
#define BULK  16

struct object {
	struct object *next;
	struct rcu_head rcu;
	char body[SMALL - sizeof(void *) - sizeof(struct rcu_head)];
};

static struct kmem_cache *cache;
/* One for each kind of bad free, and the one that bad_cache_free names. */
static struct kmem_cache *for_double, *for_interior, *for_wrong, *for_panic, *other;

/* On every kernel, a cache with a constructor is not merged with others. */
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

/* Grows into another cache: the first object is freed. */
static noinline void leak_krealloc(int count)
{
	while (count--)
		(void)!krealloc(kmalloc(SMALL / 4, GFP_KERNEL), SMALL, GFP_KERNEL);
}

/* Grows in place: krealloc allocates and frees nothing; one object stays. */
static noinline void leak_krealloc_in_place(int count)
{
	while (count--)
		(void)!krealloc(kmalloc(SMALL, GFP_KERNEL), SMALL + 1, GFP_KERNEL);
}

static noinline void use_before(struct kmem_cache *before, int count)
{
	while (count--)
		kmem_cache_free(before, kmem_cache_alloc(before, GFP_KERNEL | __GFP_NOFAIL));
}

/* Of a cache that is at the address of one that has just ended: as by rmmod and insmod.  If no such cache can be
 * had, nothing leaks. */
static noinline void leak_after_reuse(int count)
{
	struct kmem_cache *before, *after;
	int tries;

	for (tries = 0; tries < 100; tries++) {
		before = kmem_cache_create("slabtrace_before", SMALL, 0, 0, construct);
		if (!before)
			return;
		use_before(before, count);
		kmem_cache_destroy(before);
		after = kmem_cache_create("slabtrace_after", 2 * SMALL, 0, 0, construct);
		if (!after)
			return;
		if (after == before)
			break;
		kmem_cache_destroy(after);
	}
	while (tries < 100 && count--)
		(void)!kmem_cache_alloc(after, GFP_KERNEL);
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

/* Allocates in bulk and frees one by one; the next function does the opposite. */
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

/* kfree takes an object of any cache. */
static noinline void free_by_kfree(int count)
{
	while (count--)
		kfree(kmem_cache_alloc(cache, GFP_KERNEL));
}

/*
 * The objects of bad frees, all allocated before the first free.  Three of four objects stay allocated, so no
 * slab counts as empty, however often one of its objects is freed.
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
 * Frees another object of the same slab between the two frees: the allocator's own check (FREELIST_HARDENED)
 * compares only with the last one.
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

/* Nothing between: the allocator's own check ends this task and, with oops=panic, the kernel. */
static noinline void bad_panic(int count)
{
	allocate_victims(for_panic, 1);
	while (count--)
		kmem_cache_free(for_panic, victims[0]);
}

/* The objects that an interrupt or another CPU frees. */
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
	local_bh_enable(); /* runs softirqs */
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

#include "memory_faults.h"

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
	FAULT(leak_after_reuse),
	FAULT(free_kmalloc),
	FAULT(free_rcu),
	FAULT(free_bulk),
	FAULT(free_bulk_singly),
	FAULT(free_singly_bulk),
	FAULT(free_softirq),
	FAULT(free_hardirq),
	FAULT(free_other_cpu),
	FAULT(free_by_kfree),
	MEMORY_FAULTS,
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

/* No cleanup on errors: they make the test fail, and the guest ends. */
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
	/* the caches stay: destroying caches with objects in them would be another fault */
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Known slab faults for slabtrace's tests");
MODULE_LICENSE("Dual MIT/GPL");
