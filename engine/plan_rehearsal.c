/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_view_internal.h"

#include "rehearse.h"

void nzd_plan_show_rehearsal(struct nzd_output *output,
                             const struct nzd_rehearsal *rehearsal)
{
    struct nzd_buf line = {0};
    if (rehearsal->done && !rehearsal->part_count)
        nzd_output_line(output,
                        "  %-12s nobody runs a module whose "
                        "code_change would be called",
                        "rehearse");
    for (uint32_t i = 0; i < rehearsal->part_count; i++) {
        const struct nzd_rehearsal_part *part = &rehearsal->parts[i];
        nzd_rehearsal_line(part, &line);
        nzd_output_line(output, "  %-12s %s", "rehearse",
                        nzd_buf_string(&line));
        for (uint32_t k = 0; k < part->note_count; k++) {
            if (!part->notes[k].pid[0])
                continue;
            nzd_rehearsal_note_line(&part->notes[k], &line);
            nzd_output_line(output, "  %-12s %s%s", "",
                            part->notes[k].failed ? "" : "not tried: ",
                            nzd_buf_string(&line));
        }
    }
    nzd_buf_clear(&line);
}

static json_t *note_json(const struct nzd_rehearsal_note *note)
{
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "failed", note->failed,
                     "pid", nzd_json_text(note->pid), "name",
                     nzd_json_text(note->name), "why", nzd_json_text(note->why),
                     "state", nzd_json_text(note->shape), "stack",
                     nzd_json_text(note->stack));
}

json_t *nzd_plan_rehearsal_json(const struct nzd_rehearsal *rehearsal)
{
    json_t *list = json_array();
    if (!rehearsal->done) {
        json_decref(list);
        return json_null();
    }
    for (uint32_t i = 0; i < rehearsal->part_count; i++) {
        const struct nzd_rehearsal_part *part = &rehearsal->parts[i];
        json_t *notes = json_array();
        for (uint32_t k = 0; k < part->note_count; k++)
            json_array_append_new(notes, note_json(&part->notes[k]));
        json_array_append_new(
            list,
            json_pack("{s:o, s:I, s:I, s:I, s:o}", "module",
                      nzd_json_text(part->module), "processes",
                      (json_int_t)part->processes, "ok", (json_int_t)part->well,
                      "us", (json_int_t)part->us, "notes", notes));
    }
    return list;
}
