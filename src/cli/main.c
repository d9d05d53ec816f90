/* main.c - the program's beginning; it stands alone so that tests can link all the rest. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
