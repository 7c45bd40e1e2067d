/*
 * The silicon oracle: runs single instructions on the real processor, in 32-bit user mode, and reports what they did.
 *
 * Reads cases from standard input, writes a header and one result a case to standard output, in order, until the input ends.
 * All numbers little-endian u32; src/emu/testing/silicon/protocol.ts is the other side.
 *
 *     case    eax ecx edx ebx esp ebp esi edi | eflags | options | length, 15 instruction bytes | 64 bytes of memory
 *     result  eax ecx edx ebx esp ebp esi edi | eflags | eip | vector | error code | cr2 | es ds fs gs | memory
 *     header  'KSIL' | cs | ss (also the flat ds, es) | the selector of a segment based at the data page | 16-bit cs | 16-bit ss
 *
 * How it works: the program lives in a signal handler. Returning from the handler loads all registers, flags and segments of
 * a case at once and jumps to its instruction; the page behind it is full of INT3, so whatever the instruction does (fall
 * through, branch, fault) ends in the handler again, with everything that happened in the signal frame.
 *
 *     0x200000  code page, all INT3, the instruction at 0x200800
 *     0x2ff000  not mapped
 *     0x300000  data page; a case's memory is its last 64 bytes, so that accesses can run into the page that is not there
 *     0x301000  not mapped
 *
 * The based segment starts at the data page with a limit of one page: 16-bit addresses work through it, and accesses beyond
 * it are limit violations. FS holds it always; DS and ES too when options bit 0 is set. GS is null. Options bit 1 gives SS a
 * 16-bit stack of the same base and limit (SP then names what ESP would in the flat one), bit 2 gives CS a flat 16-bit code
 * segment. Both are in the LDT; where the kernel has none, the header's selectors are 0.
 *
 * Freestanding: no 32-bit C library is needed. Facts: Linux i386 signal frame and system call numbers.
 * gcc -m32 -O1 -nostdlib -ffreestanding -static -fno-pie -no-pie -fno-stack-protector -mgeneral-regs-only -o oracle oracle.c
 */

typedef unsigned int u32;
typedef unsigned char u8;

#define CODE_PAGE 0x200000u
#define CODE_START 0x200800u
#define DATA_PAGE 0x300000u
#define PAGE 0x1000u
#define MEMORY_SIZE 64u
#define MEMORY ((u8 *)(DATA_PAGE + PAGE - MEMORY_SIZE))
#define OPTION_BASED 1u
#define OPTION_STACK16 2u
#define OPTION_CODE16 4u

struct test_case {
	u32 gpr[8]; /* in the order of their numbers: eax ecx edx ebx esp ebp esi edi */
	u32 eflags;
	u32 options;
	u8 length;
	u8 code[15];
	u8 memory[MEMORY_SIZE];
};

struct test_result {
	u32 gpr[8];
	u32 eflags, eip, vector, error, cr2;
	u32 es, ds, fs, gs;
	u8 memory[MEMORY_SIZE];
};

/* What the kernel puts on the signal stack (i386 struct sigcontext, inside struct ucontext). */
struct signal_context {
	u32 gs, fs, es, ds;
	u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
	u32 trapno, err;
	u32 eip, cs, eflags, esp_at_signal, ss;
	u32 fpstate, oldmask, cr2;
};

struct signal_frame_context {
	u32 flags, link;
	u32 stack_sp, stack_flags, stack_size;
	struct signal_context registers;
};

struct kernel_sigaction {
	void *handler;
	u32 flags;
	void *restorer;
	u32 mask[2];
};

#define SYS_EXIT 1
#define SYS_READ 3
#define SYS_WRITE 4
#define SYS_MODIFY_LDT 123
#define SYS_RT_SIGACTION 174
#define SYS_SIGALTSTACK 186
#define SYS_MMAP2 192
#define SYS_SET_THREAD_AREA 243

static u32 syscall6(u32 number, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f)
{
	u32 arguments[2] = { number, f };
	u32 result;
	/* %ebp is the sixth argument: saved by hand, because the compiler may be using it. */
	__asm__ volatile("pushl %%ebp; movl 4(%%eax), %%ebp; movl (%%eax), %%eax; int $0x80; popl %%ebp"
			 : "=a"(result)
			 : "a"(arguments), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return result;
}

static void die(u32 status)
{
	syscall6(SYS_EXIT, status, 0, 0, 0, 0, 0);
	for (;;)
		;
}

/* -ffreestanding still lets the compiler call this one. */
void *memcpy(void *to, const void *from, u32 length)
{
	u8 *d = to;
	const u8 *s = from;
	while (length--)
		*d++ = *s++;
	return to;
}

static u8 input[1 << 16], output[1 << 16];
static u32 input_at, input_end, output_end;

static void flush(void)
{
	u32 at = 0;
	while (at < output_end) {
		int n = (int)syscall6(SYS_WRITE, 1, (u32)output + at, output_end - at, 0, 0, 0);
		if (n <= 0)
			die(3);
		at += (u32)n;
	}
	output_end = 0;
}

static void put(const void *data, u32 length)
{
	if (output_end + length > sizeof output)
		flush();
	memcpy(output + output_end, data, length);
	output_end += length;
}

/* Takes `length` bytes of input; 0 at its end. */
static int get(void *data, u32 length)
{
	u8 *to = data;
	while (length > 0) {
		if (input_at == input_end) {
			int n = (int)syscall6(SYS_READ, 0, (u32)input, sizeof input, 0, 0, 0);
			if (n <= 0)
				return 0;
			input_at = 0;
			input_end = (u32)n;
		}
		u32 part = input_end - input_at < length ? input_end - input_at : length;
		memcpy(to, input + input_at, part);
		to += part;
		input_at += part;
		length -= part;
	}
	return 1;
}

static u32 flat_cs, flat_ss, based, code16, stack16;
/* rt_sigreturn leaves NT and ID as they are when it is called, so they are set just before. */
__attribute__((used)) u32 kept_flags;
#define FLAGS_KEPT (0x4000u | 0x200000u)
static int started;
static u8 altstack[1 << 16] __attribute__((aligned(16)));

/* Fills the signal frame with the next case; flushes and exits when there is none. */
static void load_case(struct signal_context *r)
{
	struct test_case c;
	u8 *code = (u8 *)CODE_PAGE;
	if (!get(&c, sizeof c)) {
		flush();
		die(0);
	}
	/* Only the bytes the last case may have changed: the instruction, and branch targets never write. */
	for (u32 i = 0; i < 32; i++)
		code[CODE_START - CODE_PAGE + i] = i < c.length && i < 15 ? c.code[i] : 0xcc;
	memcpy(MEMORY, c.memory, MEMORY_SIZE);
	r->eax = c.gpr[0];
	r->ecx = c.gpr[1];
	r->edx = c.gpr[2];
	r->ebx = c.gpr[3];
	r->esp = r->esp_at_signal = c.gpr[4];
	r->ebp = c.gpr[5];
	r->esi = c.gpr[6];
	r->edi = c.gpr[7];
	r->eflags = c.eflags;
	kept_flags = (c.eflags & FLAGS_KEPT) | 2;
	r->eip = CODE_START;
	r->cs = c.options & OPTION_CODE16 ? code16 : flat_cs;
	r->ss = c.options & OPTION_STACK16 ? stack16 : flat_ss;
	r->ds = r->es = c.options & OPTION_BASED ? based : flat_ss;
	r->fs = based;
	r->gs = 0;
}

static void store_result(const struct signal_context *r)
{
	struct test_result out = {
		.gpr = { r->eax, r->ecx, r->edx, r->ebx, r->esp, r->ebp, r->esi, r->edi },
		.eflags = r->eflags,
		.eip = r->eip,
		.vector = r->trapno,
		.error = r->err,
		.cr2 = r->cr2,
		.es = r->es & 0xffff,
		.ds = r->ds & 0xffff,
		.fs = r->fs & 0xffff,
		.gs = r->gs & 0xffff,
	};
	memcpy(out.memory, MEMORY, MEMORY_SIZE);
	put(&out, sizeof out);
}

/*
 * Called by on_signal below. An error in the oracle itself after start would look like a result, so the handler touches nothing
 * but its own statics and the two pages.
 */
__attribute__((used)) void handle(int number, void *info, struct signal_frame_context *context)
{
	(void)number;
	(void)info;
	if (started)
		store_result(&context->registers);
	started = 1;
	load_case(&context->registers);
}

/*
 * A case may leave DS, ES based and DF set: flat segments first. The kernel restores them from the frame on return. The
 * frame has the return address (the restorer) on top, then number, info, context: what handle() wants, once more.
 */
__asm__(".globl on_signal\n"
	"on_signal:\n"
	"	pushl %ss; popl %ds\n"
	"	pushl %ss; popl %es\n"
	"	cld\n"
	"	jmp handle\n"
	".globl restore\n"
	"restore:\n"
	"	pushl kept_flags; popfl\n"
	"	movl $173, %eax\n" /* rt_sigreturn */
	"	int $0x80\n");
void on_signal(void);
void restore(void);

static void map(u32 address, u32 protection)
{
	/* MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED */
	if (syscall6(SYS_MMAP2, address, PAGE, protection, 0x32, ~0u, 0) != address)
		die(4);
}

/* One entry of the LDT; its selector, or 0. */
static u32 local_segment(u32 entry, u32 base, u32 limit, u32 flags)
{
	u32 descriptor[4] = { entry, base, limit, flags };
	return syscall6(SYS_MODIFY_LDT, 1, (u32)descriptor, sizeof descriptor, 0, 0, 0) == 0 ? entry * 8 + 7 : 0;
}

void _start(void)
{
	map(CODE_PAGE, 7);
	map(DATA_PAGE, 3);
	for (u32 i = 0; i < PAGE; i++)
		((u8 *)CODE_PAGE)[i] = 0xcc;

	/* struct user_desc: entry -1 (choose one), base, limit, flags: 32-bit, usable, byte granularity, writable data. */
	u32 descriptor[4] = { ~0u, DATA_PAGE, PAGE - 1, 0x41 };
	if (syscall6(SYS_SET_THREAD_AREA, (u32)descriptor, 0, 0, 0, 0, 0) != 0)
		die(5);
	based = descriptor[0] * 8 + 3;
	__asm__("movl %%cs, %0; movl %%ss, %1" : "=r"(flat_cs), "=r"(flat_ss));

	/* 16-bit, usable: code, of pages; writable data. */
	code16 = local_segment(0, 0, 0xfffff, 0x54);
	stack16 = local_segment(1, DATA_PAGE, PAGE - 1, 0x40);

	u32 stack[3] = { (u32)altstack, 0, sizeof altstack };
	if (syscall6(SYS_SIGALTSTACK, (u32)stack, 0, 0, 0, 0, 0) != 0)
		die(6);
	/* SA_SIGINFO | SA_ONSTACK | SA_RESTORER */
	struct kernel_sigaction action = { (void *)on_signal, 0x0c000004, (void *)restore, { 0, 0 } };
	static const u8 signals[] = { 4 /* ILL */, 5 /* TRAP */, 7 /* BUS */, 8 /* FPE */, 11 /* SEGV */ };
	for (u32 i = 0; i < sizeof signals; i++)
		if (syscall6(SYS_RT_SIGACTION, signals[i], (u32)&action, 0, 8, 0, 0) != 0)
			die(7);

	u32 header[6] = { 0x4c49534b, flat_cs, flat_ss, based, code16, stack16 };
	put(header, sizeof header);
	__asm__ volatile("int3");
	die(8);
}
