/*
 * reboot.c - asks for a restart.
 */
#include "libpup.h"

int main(void)
{
    flush();
    return sys(SYS_reboot, REBOOT_RESTART);
}
