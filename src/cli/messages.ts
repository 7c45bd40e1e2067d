/** What the command line says to people, and how it ends. Everything here goes to standard error. */

/** Exit statuses (docs: README, "Exit status"). */
export const EXIT_POWEROFF = 0
export const EXIT_FAULT = 1
export const EXIT_USAGE = 2
export const EXIT_GUEST = 3
export const EXIT_TIMEOUT = 124

/** The command cannot be done as it was given. The message is a whole sentence. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export function say(text: string): void {
  process.stderr.write(`kennel: ${text}\n`)
}

export const HELP = `Kennel runs lguest guests on an emulated i386 host.

usage: kennel run [pup|seed] [options]
                                      run a guest on this terminal; without a name and --kernel the built-in pup
       kennel bench [NAME...]         measure; NAME is interp, switch or app
       kennel serve [--port N]        the application in a browser
       kennel ls [--json] | start NAME | stop NAME [--force] | console NAME | inspect CPU [--json]
                                      talk to the application or server that runs
       kennel help | --version

What to run
  pup                  the built-in guest: a small kernel with a shell (the interface of Linux 3.x)
  seed                 a guest of March 2007, the hypervisor's first interface: two tasks take turns, then it powers off
  --kernel FILE        a Linux kernel built with LGUEST_GUEST (vmlinux or bzImage)
  --initrd FILE        its initial RAM disk
  --append STRING      its command line
  --memory SIZE        guest memory, for example 64M (the default)
  --disk FILE[,ro]     a disk; may be given several times
  --net switch|none    a network card on the switch between guests; none is the default
  --guests N           N guests at once: each gets the whole input, each line of output begins with its guest's name

The host
  --cpus N             host CPUs, 1 to 8 (2)
  --host-ram SIZE      host memory, 64M to 2G (512M)
  --copy elide|always  copy guest tables into the per-CPU pages only when they changed, or on every world switch
  --executor lockstep  virtual time: the same input gives the same run, instruction by instruction

The run
  --timeout SECONDS    end it after this time, with status 124
  --stats FILE.json    write what the hypervisor counted

Measuring
  --json FILE          write the results
  --rounds N           how often switch measures each mode, 1 to 100 (6); the best counts

Standard input is the guest's console. On a terminal Ctrl-] leaves.
Exit status: 0 powered off, 1 a fault of Kennel's own, 2 unusable arguments, 3 the guest was killed or crashed, 124 timeout.
`
