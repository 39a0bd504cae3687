/* SPDX-License-Identifier: Apache-2.0 */
#include "timeline.h"

#include "interrupt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nzd_timeline_open(struct nzd_timeline *timeline)
{
    memset(timeline, 0, sizeof *timeline);
    timeline->opened_us = nzd_clock_us();
}

static struct nzd_event *grow(struct nzd_timeline *timeline)
{
    if (timeline->count == timeline->capacity) {
        uint32_t capacity = timeline->capacity ? 2 * timeline->capacity : 16;
        void *items =
            realloc(timeline->items, capacity * sizeof(struct nzd_event));
        if (!items)
            return NULL;
        timeline->items = items;
        timeline->capacity = capacity;
    }
    struct nzd_event *event = &timeline->items[timeline->count++];
    memset(event, 0, sizeof *event);
    return event;
}

void nzd_timeline_add(struct nzd_timeline *timeline, enum nzd_event_kind kind,
                      const char *label, uint64_t took_us, const char *format,
                      ...)
{
    char text[1024];
    va_list args;
    struct nzd_event *event = grow(timeline);
    if (!event)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    event->kind = kind;
    event->at_us = nzd_wall_us();
    event->mono_us = nzd_clock_us() - timeline->opened_us;
    event->took_us = took_us;
    event->label = strdup(label);
    event->text = strdup(text);
}

void nzd_timeline_attach(struct nzd_timeline *timeline, struct nzd_view output,
                         size_t limit)
{
    struct nzd_buf text = {0};
    if (!timeline->count || !output.size)
        return;
    if (output.size > limit)
        output.size = limit;
    for (size_t i = 0; i < output.size; i++)
        nzd_buf_u8(&text, output.data[i] ? output.data[i] : ' ');
    struct nzd_event *event = &timeline->items[timeline->count - 1];
    free(event->output);
    event->output = text.failed ? NULL : strdup(nzd_buf_string(&text));
    nzd_buf_clear(&text);
}

void nzd_timeline_written(struct nzd_timeline *timeline)
{
    for (uint32_t i = 0; i < timeline->count; i++)
        nzd_event_clear(&timeline->items[i]);
    timeline->count = 0;
}

void nzd_timeline_clear(struct nzd_timeline *timeline)
{
    nzd_timeline_written(timeline);
    free(timeline->items);
    memset(timeline, 0, sizeof *timeline);
}
