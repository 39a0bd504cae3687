/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    exit(nzd_command_run(argc, argv));
}
