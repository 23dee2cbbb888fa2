/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * more_faults.h - let fail-nth reach what the kernel's fault injection does not
 *
 * The module that the fault tests load is built with this file included into each
 * of its sources. A call that fails though memory is at hand, or that needs none as long
 * as the system is small, then counts as one more allocation: which of the percpu
 * allocator and of the minor numbers is at hand before long, so that they would only
 * fail with hundreds of drives. Each wrapper has a name of its own, as the sites that
 * have to be reached are told by it.
 */
#ifndef SRLOCK_TESTS_MORE_FAULTS_H
#define SRLOCK_TESTS_MORE_FAULTS_H

#include <linux/device.h>
#include <linux/err.h>
#include <linux/fault-inject.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/uaccess.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_driver.h>

static struct fault_attr srlock_fault __maybe_unused = FAULT_ATTR_INITIALIZER;

/*
 * What happens before the module gets its turn differs from one time to the next by dozens
 * of allocations. So a task whose number is that large has it divided by this where it
 * first gets into the module.
 */
#define SRLOCK_FAULTS_INSIDE	1000000u

static __always_inline void srlock_faults_begin(void)
{
	unsigned int nth = current->fail_nth;

	if (nth > SRLOCK_FAULTS_INSIDE / 2)
		current->fail_nth = DIV_ROUND_UP(nth, SRLOCK_FAULTS_INSIDE);
}

/* Without __noipa__ they would be found equal and become one. */
#define SRLOCK_FAULT(name)							\
static __maybe_unused __attribute__((__noipa__)) bool srlock_fault_##name(void)	\
{										\
	return should_fail(&srlock_fault, 1);					\
}

SRLOCK_FAULT(alloc_percpu)
SRLOCK_FAULT(autopm)
SRLOCK_FAULT(bus_notifier)
SRLOCK_FAULT(device_get)
SRLOCK_FAULT(ida)
SRLOCK_FAULT(interface)
SRLOCK_FAULT(kvcalloc)
SRLOCK_FAULT(module_get)
SRLOCK_FAULT(pm_notifier)
SRLOCK_FAULT(put_user)

#define alloc_workqueue(...)							\
	(srlock_faults_begin(), (alloc_workqueue)(__VA_ARGS__))

#define kzalloc(size, gfp)							\
	(srlock_faults_begin(), (kzalloc)(size, gfp))

#undef alloc_percpu
#define alloc_percpu(type)							\
	(srlock_fault_alloc_percpu() ? NULL : alloc_percpu_gfp(type, GFP_KERNEL))

#define ida_alloc_max(ida, max, gfp)						\
	(srlock_fault_ida() ? -ENOMEM : (ida_alloc_max)(ida, max, gfp))

#define kvcalloc(n, size, gfp)							\
	(srlock_fault_kvcalloc() ? NULL : (kvcalloc)(n, size, gfp))

#undef put_user
#define put_user(x, ptr)							\
	(srlock_fault_put_user() ? -EFAULT : do_put_user_call(put_user, x, ptr))

#define try_module_get(module)							\
	(srlock_faults_begin(), srlock_fault_module_get() ? false : (try_module_get)(module))

#define bus_register_notifier(bus, nb)						\
	(srlock_fault_bus_notifier() ? -ENOMEM : (bus_register_notifier)(bus, nb))

#define register_pm_notifier(nb)						\
	(srlock_fault_pm_notifier() ? -ENOMEM : (register_pm_notifier)(nb))

#define scsi_register_interface(interface)					\
	(srlock_fault_interface() ? -ENOMEM : (scsi_register_interface)(interface))

#define scsi_device_get(sdev)							\
	(srlock_fault_device_get() ? -ENXIO : (scsi_device_get)(sdev))

#define scsi_autopm_get_device(sdev)						\
	(srlock_fault_autopm() ? -EIO : (scsi_autopm_get_device)(sdev))

#endif
