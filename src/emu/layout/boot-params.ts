/**
 * Linux's boot_params, the 4096 bytes at guest-physical 0 (arch/x86/include/asm/bootparam.h; reference 9.3), as far as a launcher fills
 * it in; the setup header of a bzImage has the same offsets from the file's start. Only named fields are in the layout.
 */
import { struct, type ViewOf } from '../bits/struct.ts'

export const E820_RAM = 1
export const E820Entry = struct('e820_entry', { addr: 'u64', size: 'u64', type: 'u32' }, 20)

export const BootParams = struct(
  'boot_params',
  {
    __screen_info: ['u8', 0x1e8],
    e820_entries: 'u8',
    __pad1: ['u8', 6],
    /** Linux 3.8 and later clear unknown parts when it is not 0. */
    sentinel: 'u8',
    __pad2: ['u8', 1],
    setup_sects: 'u8',
    __root_flags: 'u16',
    /** Units of 16 bytes behind the setup part; the last one may be cut short (boot protocol 2.04 and later). */
    syssize: 'u32',
    __pad3: ['u8', 6],
    boot_flag: 'u16',
    __jump: 'u16',
    /** "HdrS". */
    header: 'u32',
    version: 'u16',
    __realmode_swtch: ['u8', 8],
    type_of_loader: 'u8',
    loadflags: 'u8',
    setup_move_size: 'u16',
    code32_start: 'u32',
    ramdisk_image: 'u32',
    ramdisk_size: 'u32',
    bootsect_kludge: 'u32',
    heap_end_ptr: 'u16',
    __ext_loader: 'u16',
    cmd_line_ptr: 'u32',
    initrd_addr_max: 'u32',
    kernel_alignment: 'u32',
    relocatable_kernel: 'u8',
    __min_alignment: 'u8',
    xloadflags: 'u16',
    cmdline_size: 'u32',
    hardware_subarch: 'u32',
    __pad4: ['u8', 0x258 - 0x240],
    /** Where the kernel would like to run; one that is not relocatable runs there. */
    pref_address: 'u64',
    /** Bytes from there that it uses before it looks at the memory map: unpacked kernel, bss, room for unpacking. */
    init_size: 'u32',
    __pad5: ['u8', 0x2d0 - 0x264],
    e820_map: [E820Entry, 1],
    __pad6: ['u8', 0x1000 - 0x2e4],
  },
  4096,
)
export type BootParamsView = ViewOf<typeof BootParams>

/** "HdrS", little-endian, in BootParams.header. */
export const HDRS_MAGIC = 0x53726448
/** hdr.version from which a kernel looks at hardware_subarch. */
export const BOOT_PROTOCOL_SUBARCH = 0x0207
/** loadflags: the entry code leaves the segment registers alone. */
export const KEEP_SEGMENTS = 1 << 6
/** hdr.version from which syssize is to be relied on. */
export const BOOT_PROTOCOL_SYSSIZE = 0x0204
/** hdr.version from which pref_address and init_size are there; and xloadflags. */
export const BOOT_PROTOCOL_INIT_SIZE = 0x020a
export const BOOT_PROTOCOL_XLOADFLAGS = 0x020c
/** xloadflags: a 64-bit kernel. */
export const XLF_KERNEL_64 = 1 << 0
/** kernel_alignment of an ordinary build: a relocatable kernel goes to a multiple of what boot_params says here. */
export const KERNEL_ALIGNMENT = 0x0100_0000
export const SUBARCH_LGUEST = 1
/** type_of_loader of a boot loader without a number of its own. */
export const LOADER_UNDEFINED = 0xff
