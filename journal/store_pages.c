/* SPDX-License-Identifier: Apache-2.0 */
#include "store_pages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * A page begins with its number (a word), two bytes unused, flags, then either
 * the ends of its free space (two u16) or, for an overflow run, its length
 * (u32). Offsets of nodes (u16) follow, nodes are stacked from the end. Words
 * are size_t; everything is in the byte order of the machine.
 */
#define WORD        sizeof(size_t)
#define PAGE_HEADER (WORD + 8)
#define NODE_HEADER 8
#define TREE_SIZE   (8 + 5 * WORD)
#define META_SIZE   (8 + 2 * WORD + 2 * TREE_SIZE + 2 * WORD)
#define MAGIC       0xBEEFC0DEu
#define VERSION     1
#define NO_PAGE     SIZE_MAX
#define KEY_MAX     511
#define DEPTH_MAX   32
#define SLACK       65536u /* pages given a number and never written */
#define READ_BYTES  4096u  /* the smallest page of memory that Linux maps */

enum page_flag { BRANCH = 1, LEAF = 2, OVERFLOW_RUN = 4, META = 8 };
enum node_flag { BIG = 1, TREE = 2 };

enum kind {
    FREE, /* word -> lists of free pages */
    MAIN, /* name -> tree */
    ROWS
};

struct tree {
    enum kind kind;
    uint16_t flags;
    uint16_t depth;
    size_t branches; /* as it says, then counted down to zero */
    size_t leaves;
    size_t overflows;
    size_t entries;
    size_t root;
};

struct pages {
    struct nzd_view file;
    size_t page_size;
    size_t count; /* pages that were ever given a number */
    uint64_t txn;
    uint8_t *seen; /* a bit each */
    struct nzd_err *err;
};

struct page {
    const uint8_t *data;
    size_t number;
    uint16_t flags;
    uint16_t keys;
    uint16_t upper; /* nodes lie from here to the end */
};

struct node {
    struct nzd_view key;
    uint16_t flags;
    size_t child;          /* of a branch */
    size_t size;           /* of the value */
    const uint8_t *inside; /* the value, or the number of its first page */
};

/* Keys of a page are at or above `low`, and below `high`; NULL: no bound. */
struct bounds {
    struct nzd_view low;
    struct nzd_view high;
};

static uint16_t u16_at(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t u32_at(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static size_t word_at(const uint8_t *at)
{
    size_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static int bad(const struct pages *pages, size_t number, const char *what)
{
    nzd_err_damage(pages->err, "page %zu: %s", number, what);
    return NZD_EJOURNAL;
}

/* Each page belongs to one thing only. */
static int claim(struct pages *pages, size_t number, size_t count)
{
    if (number < 2 || number >= pages->count || count > pages->count - number)
        return bad(pages, number, "there is no such page");
    for (size_t i = number; i < number + count; i++) {
        if (pages->seen[i / 8] & 1u << i % 8)
            return bad(pages, i, "it is used twice");
        pages->seen[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return NZD_OK;
}

/* Where a run of pages lies; it must have been written. */
static const uint8_t *locate(const struct pages *pages, size_t number,
                             size_t count)
{
    size_t held = pages->file.size / pages->page_size;

    if (number >= held || count > held - number)
        return NULL;
    return pages->file.data + number * pages->page_size;
}

/* --- keys and values --- */

static int compare(enum kind kind, struct nzd_view a, struct nzd_view b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order;

    if (kind == FREE) {
        size_t one = word_at(a.data);
        size_t other = word_at(b.data);

        return (one > other) - (one < other);
    }
    order = memcmp(a.data, b.data, size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool within(enum kind kind, const struct bounds *bounds,
                   struct nzd_view key)
{
    if (bounds->low.data && compare(kind, key, bounds->low) < 0)
        return false;
    return !bounds->high.data || compare(kind, key, bounds->high) < 0;
}

static bool is_key(enum kind kind, struct nzd_view key)
{
    if (kind == FREE)
        return key.size == WORD;
    return key.size > 0 && key.size <= KEY_MAX;
}

/* Reads all of it: what is not in memory comes by whole pages. */
static void touch(struct nzd_view view)
{
    const volatile uint8_t *bytes = view.data;

    for (size_t i = 0; i < view.size; i += READ_BYTES)
        (void)bytes[i];
    if (view.size > 0)
        (void)bytes[view.size - 1];
}

/* A large value has a run of pages of its own. */
static int find_big(struct pages *pages, struct tree *tree,
                    const struct node *node, struct nzd_view *out)
{
    size_t number = word_at(node->inside);
    size_t need = (PAGE_HEADER - 1 + node->size) / pages->page_size + 1;
    const uint8_t *data = locate(pages, number, 1);
    size_t count;
    int rc;

    if (!data || word_at(data) != number ||
        u16_at(data + WORD + 2) != OVERFLOW_RUN)
        return bad(pages, number, "it is not the value it should be");
    count = u32_at(data + WORD + 4);
    if (node->size > pages->file.size || count < need ||
        !locate(pages, number, need))
        return bad(pages, number, "the value is longer than its pages");
    rc = claim(pages, number, count);
    if (rc)
        return rc;
    if (count > tree->overflows)
        return bad(pages, number, "more pages than its table counts");
    tree->overflows -= count;
    *out = nzd_view_of(data + PAGE_HEADER, node->size);
    touch(*out);
    return NZD_OK;
}

/* A count, then the numbers of free pages from high to low. */
static int check_free(struct pages *pages, size_t at, struct nzd_view key,
                      struct nzd_view value)
{
    size_t before = SIZE_MAX;
    size_t count;
    int rc = NZD_OK;

    if (word_at(key.data) > pages->txn)
        return bad(pages, at, "pages are free in a transaction to come");
    if (value.size < WORD || value.size % WORD != 0)
        return bad(pages, at, "a list of free pages has no length");
    count = word_at(value.data);
    if (count >= value.size / WORD)
        return bad(pages, at, "a list of free pages is too short");
    for (size_t i = 1; i <= count && rc == NZD_OK; i++) {
        size_t number = word_at(value.data + i * WORD);

        if (number >= before)
            return bad(pages, at, "free pages are out of order");
        before = number;
        rc = claim(pages, number, 1);
    }
    return rc;
}

/* --- trees --- */

static struct tree tree_at(const uint8_t *at, enum kind kind)
{
    struct tree tree = {
        .kind = kind,
        .flags = u16_at(at + 4),
        .depth = u16_at(at + 6),
        .branches = word_at(at + 8),
        .leaves = word_at(at + 8 + WORD),
        .overflows = word_at(at + 8 + 2 * WORD),
        .entries = word_at(at + 8 + 3 * WORD),
        .root = word_at(at + 8 + 4 * WORD),
    };

    return tree;
}

static int check_tree(struct pages *pages, struct tree tree);

static int check_value(struct pages *pages, struct tree *tree, size_t at,
                       const struct node *node)
{
    struct nzd_view value = nzd_view_of(node->inside, node->size);
    int rc;

    if (node->flags & ~(tree->kind == MAIN ? TREE : BIG))
        return bad(pages, at, "a value of a kind that is not used here");
    if (tree->kind == MAIN) {
        if (node->flags != TREE || node->size != TREE_SIZE)
            return bad(pages, at, "a table is none");
        return check_tree(pages, tree_at(value.data, ROWS));
    }
    if (node->flags & BIG) {
        rc = find_big(pages, tree, node, &value);
        if (rc)
            return rc;
    }
    return tree->kind == FREE ? check_free(pages, at, node->key, value)
                              : NZD_OK;
}

/* Sizes and child numbers are split into 16-bit halves. */
static size_t halves_at(const uint8_t *at)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (size_t)u16_at(at) << 16 | u16_at(at + 2);
#else
    return (size_t)u16_at(at + 2) << 16 | u16_at(at);
#endif
}

/* Reads the i-th node; `used` grows by the bytes it takes. */
static int read_node(const struct pages *pages, const struct page *page,
                     uint16_t i, struct node *out, size_t *used)
{
    size_t at = u16_at(page->data + PAGE_HEADER + 2 * (size_t)i);
    const uint8_t *data = page->data + at;
    size_t inside = 0;
    size_t size;

    if (at < page->upper || at % 2 || at + NODE_HEADER > pages->page_size)
        return bad(pages, page->number, "a node lies outside");
    out->flags = u16_at(data + 4);
    out->size = halves_at(data);
    out->child = out->size;
    out->key = nzd_view_of(data + NODE_HEADER, u16_at(data + 6));
    out->inside = out->key.data + out->key.size;
    if (page->flags == BRANCH) {
#if SIZE_MAX > UINT32_MAX
        out->child |= (size_t)out->flags << 32;
#endif
        out->flags = 0;
    } else {
        inside = out->flags & BIG ? WORD : out->size;
    }
    size = NODE_HEADER + out->key.size;
    if (inside > pages->page_size || at + size + inside > pages->page_size)
        return bad(pages, page->number, "a node is too long");
    size += inside;
    *used += size + size % 2;
    return NZD_OK;
}

static int read_page(struct pages *pages, size_t number, struct page *out)
{
    const uint8_t *data;
    uint16_t lower;
    int rc = claim(pages, number, 1);

    if (rc)
        return rc;
    data = locate(pages, number, 1);
    if (!data || word_at(data) != number)
        return bad(pages, number, "it is not where it should be");
    out->data = data;
    out->number = number;
    out->flags = u16_at(data + WORD + 2);
    lower = u16_at(data + WORD + 4);
    out->upper = u16_at(data + WORD + 6);
    if (lower < PAGE_HEADER || lower % 2 || lower > out->upper ||
        out->upper > pages->page_size)
        return bad(pages, number, "its free space does not hold");
    out->keys = (uint16_t)((lower - PAGE_HEADER) / 2);
    return NZD_OK;
}

static int check_page(struct pages *pages, struct tree *tree, size_t number,
                      unsigned depth, const struct bounds *bounds);

static int check_leaf(struct pages *pages, struct tree *tree,
                      const struct page *page, const struct bounds *bounds)
{
    struct bounds rest = *bounds;
    struct node node;
    size_t used = 0;
    int rc;

    for (uint16_t i = 0; i < page->keys; i++) {
        rc = read_node(pages, page, i, &node, &used);
        if (rc)
            return rc;
        if (!is_key(tree->kind, node.key) ||
            !within(tree->kind, &rest, node.key) ||
            (i > 0 && compare(tree->kind, node.key, rest.low) == 0))
            return bad(pages, page->number, "its keys are out of order");
        if (tree->entries == 0)
            return bad(pages, page->number, "more rows than its table counts");
        tree->entries--;
        rest.low = node.key;
        rc = check_value(pages, tree, page->number, &node);
        if (rc)
            return rc;
    }
    if (page->keys < 1 || used != pages->page_size - page->upper)
        return bad(pages, page->number, "its nodes do not fill it");
    return NZD_OK;
}

static int check_branch(struct pages *pages, struct tree *tree,
                        const struct page *page, unsigned depth,
                        const struct bounds *bounds)
{
    struct bounds below = *bounds;
    struct node node;
    struct node next;
    size_t used = 0;
    int rc;

    if (page->keys < 2)
        return bad(pages, page->number, "it has too few keys");
    rc = read_node(pages, page, 0, &node, &used);
    for (uint16_t i = 1; i <= page->keys && rc == NZD_OK; i++) {
        below.high = bounds->high;
        if (i < page->keys) {
            rc = read_node(pages, page, i, &next, &used);
            if (rc)
                return rc;
            if (!is_key(tree->kind, next.key) ||
                !within(tree->kind, &below, next.key))
                return bad(pages, page->number, "its keys are out of order");
            below.high = next.key;
        }
        rc = check_page(pages, tree, node.child, depth + 1, &below);
        below.low = below.high;
        node = next;
    }
    if (rc == NZD_OK && used != pages->page_size - page->upper)
        rc = bad(pages, page->number, "its nodes do not fill it");
    return rc;
}

static int check_page(struct pages *pages, struct tree *tree, size_t number,
                      unsigned depth, const struct bounds *bounds)
{
    bool leaf = depth == tree->depth;
    size_t *left = leaf ? &tree->leaves : &tree->branches;
    struct page page;
    int rc = read_page(pages, number, &page);

    if (rc)
        return rc;
    if (page.flags != (leaf ? LEAF : BRANCH))
        return bad(pages, number, "it is of the wrong kind");
    if (*left == 0)
        return bad(pages, number, "more pages than its table counts");
    (*left)--;
    return leaf ? check_leaf(pages, tree, &page, bounds)
                : check_branch(pages, tree, &page, depth, bounds);
}

static int check_tree(struct pages *pages, struct tree tree)
{
    static const struct bounds everything;
    int rc = NZD_OK;

    if (tree.kind != FREE && tree.flags != 0)
        return bad(pages, tree.root, "a table is of another kind");
    if (tree.depth > DEPTH_MAX || (tree.depth == 0) != (tree.root == NO_PAGE))
        return bad(pages, tree.root, "a table has no such depth");
    if (tree.depth > 0)
        rc = check_page(pages, &tree, tree.root, 1, &everything);
    if (rc)
        return rc;
    if (tree.branches || tree.leaves || tree.overflows || tree.entries)
        return bad(pages, tree.root, "a table has less than it counts");
    return NZD_OK;
}

/* --- headers --- */

static size_t page_size_at(const uint8_t *meta)
{
    return u32_at(meta + 8 + 2 * WORD);
}

static uint64_t txn_at(const uint8_t *meta)
{
    return word_at(meta + (META_SIZE - WORD));
}

static int check_header(const struct pages *pages, size_t number)
{
    const uint8_t *page = pages->file.data + number * pages->page_size;
    const uint8_t *meta = page + PAGE_HEADER;

    if (word_at(page) != number || u16_at(page + WORD + 2) != META ||
        u32_at(meta) != MAGIC || u32_at(meta + 4) != VERSION ||
        page_size_at(meta) != pages->page_size)
        return bad(pages, number, "it is no header");
    /* The two are written in turns: a lone newer one is damage. */
    if (txn_at(meta) != 0 && txn_at(meta) % 2 != number)
        return bad(pages, number, "it is not its transaction's header");
    return NZD_OK;
}

static int check_headers(struct pages *pages)
{
    const uint8_t *first = pages->file.data + PAGE_HEADER;
    const uint8_t *second;
    uint64_t apart;
    int rc;

    if (pages->file.size < PAGE_HEADER + META_SIZE)
        return bad(pages, 0, "the file is too short");
    pages->page_size = page_size_at(first);
    if (pages->page_size < 512 || pages->page_size > 65536 ||
        (pages->page_size & (pages->page_size - 1)) != 0 ||
        pages->file.size < 2 * pages->page_size)
        return bad(pages, 0, "it names no size of a page");
    rc = check_header(pages, 0);
    if (rc == NZD_OK)
        rc = check_header(pages, 1);
    if (rc)
        return rc;
    second = first + pages->page_size;
    apart = txn_at(first) > txn_at(second) ? txn_at(first) - txn_at(second)
                                           : txn_at(second) - txn_at(first);
    if (apart > 1)
        return bad(pages, 0, "the headers are not of one history");
    return NZD_OK;
}

int nzd_store_heads(struct nzd_view begin, struct nzd_store_heads *out,
                    struct nzd_err *err)
{
    struct pages pages = {.file = begin, .err = err};
    int rc = check_headers(&pages);

    memset(out, 0, sizeof(*out));
    if (rc)
        return rc;
    out->page_size = pages.page_size;
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *meta = begin.data + i * pages.page_size + PAGE_HEADER;

        if (i > 0 && txn_at(meta) <= out->txn)
            continue;
        out->txn = txn_at(meta);
        out->pages = word_at(meta + (META_SIZE - 2 * WORD)) + 1;
    }
    return NZD_OK;
}

static int check_trees(struct pages *pages, const uint8_t *meta)
{
    const uint8_t *trees = meta + 8 + 2 * WORD;
    int rc;

    pages->count = word_at(meta + (META_SIZE - 2 * WORD));
    if (pages->count < 1 ||
        pages->count > pages->file.size / pages->page_size + SLACK)
        return bad(pages, 0, "it counts more pages than the file has");
    pages->count++;
    pages->seen = calloc(1, pages->count / 8 + 1);
    if (!pages->seen) {
        nzd_err_memory(pages->err);
        return NZD_EINTERNAL;
    }
    rc = check_tree(pages, tree_at(trees, FREE));
    if (rc == NZD_OK)
        rc = check_tree(pages, tree_at(trees + TREE_SIZE, MAIN));
    free(pages->seen);
    return rc;
}

int nzd_store_pages(struct nzd_view file, uint64_t txn, struct nzd_err *err)
{
    struct pages pages = {.file = file, .txn = txn, .err = err};
    uint8_t meta[META_SIZE] = {0};
    int rc = check_headers(&pages);

    if (rc)
        return rc;
    for (size_t i = 0; i < 2; i++) {
        memcpy(meta, file.data + i * pages.page_size + PAGE_HEADER, META_SIZE);
        if (txn_at(meta) == txn)
            return check_trees(&pages, meta);
    }
    return NZD_ENOTFOUND;
}
