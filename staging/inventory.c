/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory.h"

#include <stdlib.h>
#include <string.h>

void nzd_inventory_init(struct nzd_inventory *inventory)
{
    memset(inventory, 0, sizeof(*inventory));
    inventory->release = "";
    inventory->version = "";
    inventory->erts = "";
    inventory->erts_lack = "";
}

void nzd_inventory_clear(struct nzd_inventory *inventory)
{
    free(inventory->modules);
    free(inventory->apps);
    free(inventory->priv);
    free(inventory->runtime);
    nzd_arena_clear(&inventory->arena);
    nzd_inventory_init(inventory);
}

/* A zeroed element at the end of an array that grows by halves. */
static void *grow(void **items, uint32_t *count, uint32_t *capacity,
                  size_t size)
{
    char *added;

    if (*count == *capacity) {
        uint32_t wanted = *capacity ? *capacity + *capacity / 2 : 64;
        void *grown = NULL;

        if (wanted > *capacity && wanted <= SIZE_MAX / size)
            grown = realloc(*items, wanted * size);
        if (!grown)
            return NULL;
        *items = grown;
        *capacity = wanted;
    }
    added = (char *)*items + (*count)++ * size;
    memset(added, 0, size);
    return added;
}

struct nzd_module *nzd_inventory_add_module(struct nzd_inventory *inventory)
{
    void *items = inventory->modules;
    struct nzd_module *module =
        grow(&items, &inventory->module_count, &inventory->module_capacity,
             sizeof(*module));

    inventory->modules = items;
    if (module)
        module->name = module->app = module->path = "";
    return module;
}

struct nzd_app *nzd_inventory_add_app(struct nzd_inventory *inventory)
{
    void *items = inventory->apps;
    struct nzd_app *app = grow(&items, &inventory->app_count,
                               &inventory->app_capacity, sizeof(*app));

    inventory->apps = items;
    if (app)
        app->name = app->version = "";
    return app;
}

struct nzd_file *nzd_inventory_add_priv(struct nzd_inventory *inventory)
{
    void *items = inventory->priv;
    struct nzd_file *file = grow(&items, &inventory->priv_count,
                                 &inventory->priv_capacity, sizeof(*file));

    inventory->priv = items;
    if (file)
        file->path = file->app = "";
    return file;
}

struct nzd_file *nzd_inventory_add_runtime(struct nzd_inventory *inventory)
{
    void *items = inventory->runtime;
    struct nzd_file *file = grow(&items, &inventory->runtime_count,
                                 &inventory->runtime_capacity, sizeof(*file));

    inventory->runtime = items;
    if (file)
        file->path = file->app = "";
    return file;
}

static int by_module(const void *a, const void *b)
{
    return strcmp(((const struct nzd_module *)a)->name,
                  ((const struct nzd_module *)b)->name);
}

static int by_app(const void *a, const void *b)
{
    return strcmp(((const struct nzd_app *)a)->name,
                  ((const struct nzd_app *)b)->name);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct nzd_file *)a)->path,
                  ((const struct nzd_file *)b)->path);
}

static int by_file(const void *a, const void *b)
{
    const struct nzd_file *left = a;
    const struct nzd_file *right = b;
    int order = strcmp(left->app, right->app);

    return order ? order : strcmp(left->path, right->path);
}

/* qsort(NULL, 0) is not defined. */
static void sort(void *items, uint32_t count, size_t size,
                 int (*compare)(const void *, const void *))
{
    if (count > 1)
        qsort(items, count, size, compare);
}

/* A tarball can say so; no folder can. `items` are sorted. */
static int check_folders(const struct nzd_file *file,
                         const struct nzd_file *items, uint32_t count,
                         int (*compare)(const void *, const void *),
                         struct nzd_err *err)
{
    struct nzd_file key = *file;
    char *path = strdup(file->path);
    int code = 0;

    if (!path)
        return nzd_err_memory(err);
    key.path = path;
    for (char *at = strrchr(path, '/'); at && code == 0;
         at = strrchr(path, '/')) {
        *at = '\0';
        if (bsearch(&key, items, count, sizeof(*items), compare))
            code = nzd_err_set(
                err, NZD_EBUNDLE, "%s%s%s is a file and the folder of %s",
                file->app, file->app[0] ? ": " : "", path, file->path);
    }
    free(path);
    return code;
}

static int check_files(const struct nzd_file *items, uint32_t count,
                       int (*compare)(const void *, const void *),
                       struct nzd_err *err)
{
    int code = 0;

    for (uint32_t i = 0; i < count && code == 0; i++)
        code = check_folders(&items[i], items, count, compare, err);
    return code;
}

int nzd_inventory_sort(struct nzd_inventory *inventory, struct nzd_err *err)
{
    int code;
    const struct nzd_module *modules = inventory->modules;

    sort(inventory->modules, inventory->module_count,
         sizeof(*inventory->modules), by_module);
    sort(inventory->apps, inventory->app_count, sizeof(*inventory->apps),
         by_app);
    sort(inventory->priv, inventory->priv_count, sizeof(*inventory->priv),
         by_file);
    sort(inventory->runtime, inventory->runtime_count,
         sizeof(*inventory->runtime), by_path);
    for (uint32_t i = 1; i < inventory->module_count; i++)
        if (strcmp(modules[i - 1].name, modules[i].name) == 0)
            return nzd_err_set(err, NZD_EBUNDLE, "module %s is in %s and in %s",
                               modules[i].name, modules[i - 1].path,
                               modules[i].path);
    code = check_files(inventory->priv, inventory->priv_count, by_file, err);
    return code ? code
                : check_files(inventory->runtime, inventory->runtime_count,
                              by_path, err);
}

struct nzd_module *nzd_inventory_module(const struct nzd_inventory *inventory,
                                        const char *name)
{
    const struct nzd_module key = {.name = name};

    if (inventory->module_count == 0)
        return NULL;
    return bsearch(&key, inventory->modules, inventory->module_count,
                   sizeof(key), by_module);
}

struct nzd_app *nzd_inventory_app(const struct nzd_inventory *inventory,
                                  const char *name)
{
    const struct nzd_app key = {.name = name};

    if (inventory->app_count == 0)
        return NULL;
    return bsearch(&key, inventory->apps, inventory->app_count, sizeof(key),
                   by_app);
}

struct nzd_file *nzd_inventory_priv(const struct nzd_inventory *inventory,
                                    const char *app, const char *path)
{
    const struct nzd_file key = {.app = app, .path = path};

    if (inventory->priv_count == 0)
        return NULL;
    return bsearch(&key, inventory->priv, inventory->priv_count, sizeof(key),
                   by_file);
}

struct nzd_file *nzd_inventory_runtime(const struct nzd_inventory *inventory,
                                       const char *path)
{
    const struct nzd_file key = {.path = path};

    if (inventory->runtime_count == 0)
        return NULL;
    return bsearch(&key, inventory->runtime, inventory->runtime_count,
                   sizeof(key), by_path);
}

bool nzd_module_same(const struct nzd_module *a, const struct nzd_module *b)
{
    return nzd_digest_equal(&a->md5, &b->md5) &&
           (nzd_digest_equal(&a->attrs, &b->attrs) ||
            nzd_digest_is_zero(&a->attrs) || nzd_digest_is_zero(&b->attrs));
}

const bool *nzd_inventory_held(const struct nzd_inventory *inventory,
                               struct nzd_arena *arena)
{
    bool *held = nzd_arena_alloc(arena, inventory->app_count + 1);

    if (!held)
        return NULL;
    for (uint32_t i = 0; i < inventory->app_count; i++)
        held[i] = inventory->apps[i].spec != NULL;
    for (uint32_t i = 0; i < inventory->module_count; i++) {
        const struct nzd_app *app =
            nzd_inventory_app(inventory, inventory->modules[i].app);

        if (app)
            held[app - inventory->apps] = true;
    }
    return held;
}
