/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_CODE_H
#define NZD_STAGING_BEAM_CODE_H

/*
 * The instructions of a module: their numbers and operands, token by token,
 * for those who copy or follow them; and the one thing that only they tell of
 * a module as a whole: the compiler turns the attribute on_load into one.
 */

#include "beam_file.h"

enum nzd_on_load {
    NZD_ON_LOAD_NONE,
    NZD_ON_LOAD_FOUND,
    NZD_ON_LOAD_UNKNOWN /* an instruction of a newer VM is in the way */
};

/* `code` is the Code chunk. Fails NZD_EBUNDLE when it does not hold. */
int nzd_code_on_load(struct nzd_view code, enum nzd_on_load *out,
                     struct nzd_err *err);

/* The instructions that somebody asks for by name (genop.tab of OTP). */
enum nzd_op {
    NZD_OP_LABEL = 1,
    NZD_OP_FUNC_INFO = 2,
    NZD_OP_INT_CODE_END = 3,
    NZD_OP_CALL = 4,
    NZD_OP_CALL_LAST = 5,
    NZD_OP_CALL_ONLY = 6,
    NZD_OP_CALL_EXT = 7,
    NZD_OP_CALL_EXT_LAST = 8,
    NZD_OP_BIF0 = 9,
    NZD_OP_BIF1 = 10,
    NZD_OP_BIF2 = 11,
    NZD_OP_SEND = 20,
    NZD_OP_REMOVE_MESSAGE = 21,
    NZD_OP_LOOP_REC = 23,
    NZD_OP_WAIT = 25,
    NZD_OP_WAIT_TIMEOUT = 26,
    NZD_OP_CALL_FUN = 75,
    NZD_OP_CALL_EXT_ONLY = 78,
    NZD_OP_MAKE_FUN2 = 103,
    NZD_OP_APPLY = 112,
    NZD_OP_APPLY_LAST = 113,
    NZD_OP_GC_BIF1 = 124,
    NZD_OP_GC_BIF2 = 125,
    NZD_OP_ON_LOAD = 149,
    NZD_OP_GC_BIF3 = 152,
    NZD_OP_MAKE_FUN3 = 171,
    NZD_OP_CALL_FUN2 = 178
};

/* An instruction's number, or one of its operands. */
struct nzd_code_token {
    bool begins; /* the number: the other members below mean nothing */
    uint8_t op;
    uint32_t index; /* of the operand, from 0; what is in a list counts on */
    enum nzd_compact_tag tag;
    uint64_t value;        /* of a literal (tag Z) its index in the table */
    bool literal;          /* other operands of tag Z have no value */
    struct nzd_view bytes; /* the token as it stands in the chunk */
};

struct nzd_instructions {
    struct nzd_view head;     /* what stands before the first instruction */
    struct nzd_reader reader; /* behind the last token */
    uint64_t left;            /* operands of the instruction */
    uint32_t index;
    uint8_t op;
    bool unknown; /* it ended at what only a newer VM knows */
};

/* Fails NZD_EBUNDLE when the head of the chunk does not hold. */
int nzd_code_open(struct nzd_view chunk, struct nzd_instructions *out,
                  struct nzd_err *err);
/* 1: the next token is in `out`; 0: there is none, see `unknown`;
 * NZD_EBUNDLE. */
int nzd_code_next(struct nzd_instructions *code, struct nzd_code_token *out,
                  struct nzd_err *err);

#endif
