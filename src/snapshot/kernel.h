/* What the kernel offers since 6.7 and Debian 12's headers do not declare yet: userfaultfd's
 * asynchronous write protection and the PAGEMAP_SCAN request. Names as in later headers. */
#ifndef WEFT_SNAPSHOT_KERNEL_H
#define WEFT_SNAPSHOT_KERNEL_H

#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#ifndef PAGEMAP_SCAN
#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE (1 << 6)

#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)

struct page_region {
    uint64_t start, end; /* addresses */
    uint64_t categories;
};

struct pm_scan_arg {
    uint64_t size; /* of this struct */
    uint64_t flags;
    uint64_t start, end;
    uint64_t walk_end; /* out: where it stopped */
    uint64_t vec;      /* struct page_region[vec_len] */
    uint64_t vec_len;
    uint64_t max_pages;           /* 0: no limit */
    uint64_t category_inverted;   /* flipped before the masks are applied */
    uint64_t category_mask;       /* all of these, */
    uint64_t category_anyof_mask; /* and one of these */
    uint64_t return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#endif
