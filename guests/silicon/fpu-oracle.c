/*
 * fpu-oracle: runs single x87 instructions on the real processor, for the tests of src/emu/cpu/fpu.
 *
 * A freestanding 32-bit program (no C library): it reads fixed-size cases from standard input until it ends, runs each,
 * and writes a record of the same shape to standard output. Built by
 *
 *     gcc -m32 -O1 -nostdlib -ffreestanding -static -fno-pie -no-pie -fno-stack-protector -o fpu-oracle fpu-oracle.c
 *
 * One case: FRSTOR the given state, load EFLAGS and EAX, point ECX at the memory operand, execute the instruction,
 * FNSAVE the state. FNSAVE does not wait, so an unmasked exception is seen as ES in the status word and no signal comes.
 * The caller must not ask for an instruction that waits while the loaded state already has ES set.
 *
 * Pointers: where FIP or FDP names the instruction or the operand, the record has it relative to them, so that it does not
 * depend on where this program lies.
 */
typedef unsigned char u8;
typedef unsigned int u32;

struct fpu_case {
	u8 code[8];      /* the instruction, padded with NOPs (0x90) */
	u32 eflags;
	u32 eax;
	u8 state[108];   /* 32-bit protected-mode FSAVE image */
	u32 reserved;
	u8 mem[512];     /* the memory operand, at (%ecx), aligned for FXSAVE */
};

#define CASES 256

static struct fpu_case cases[CASES] __attribute__((aligned(64)));

extern u8 code_page[];
extern void run_case(struct fpu_case *c);

/*
 * code_page holds eight bytes of instruction and a RET; the program makes it writable and executable first.
 * run_case keeps the case in %ebp, because nothing a tested instruction does may change that.
 */
__asm__(
	".pushsection .text\n"
	".balign 4096\n"
	".globl code_page\n"
	"code_page:\n"
	"	.fill 8, 1, 0x90\n"
	"	ret\n"
	".balign 4096\n"
	".globl run_case\n"
	"run_case:\n"
	"	pushal\n"
	"	movl 36(%esp), %ebp\n"
	"	leal 128(%ebp), %ecx\n"
	"	frstor 16(%ebp)\n"
	"	movl 12(%ebp), %eax\n"
	"	pushl 8(%ebp)\n"
	"	popfl\n"
	"	call code_page\n"
	"	pushfl\n"
	"	popl 8(%ebp)\n"
	"	movl %eax, 12(%ebp)\n"
	"	fnsave 16(%ebp)\n"
	"	cld\n"
	"	popal\n"
	"	ret\n"
	".globl _start\n"
	"_start:\n"
	"	call main_loop\n"
	"	movl %eax, %ebx\n"
	"	movl $1, %eax\n"
	"	int $0x80\n"
	".popsection\n");

static int sys3(int number, u32 a, u32 b, u32 c)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

enum { SYS_READ = 3, SYS_WRITE = 4, SYS_MPROTECT = 125 };

/* A word of the state that may be a pointer to the `size` bytes at `base`. */
static void make_relative(u8 *word, const u8 *base, u32 size)
{
	u32 *pointer = (u32 *)word;
	u32 offset = *pointer - (u32)base;
	if (offset < size)
		*pointer = offset;
}

static u32 read_full(u8 *to, u32 length)
{
	u32 done = 0;
	while (done < length) {
		int n = sys3(SYS_READ, 0, (u32)(to + done), length - done);
		if (n <= 0)
			break;
		done += (u32)n;
	}
	return done;
}

static int write_full(const u8 *from, u32 length)
{
	u32 done = 0;
	while (done < length) {
		int n = sys3(SYS_WRITE, 1, (u32)(from + done), length - done);
		if (n <= 0)
			return -1;
		done += (u32)n;
	}
	return 0;
}

int main_loop(void)
{
	if (sys3(SYS_MPROTECT, (u32)code_page, 4096, 7) != 0)
		return 2;
	for (;;) {
		u32 bytes = read_full((u8 *)cases, sizeof(cases));
		u32 count = bytes / sizeof(cases[0]);
		for (u32 i = 0; i < count; i++) {
			for (u32 b = 0; b < 8; b++)
				((volatile u8 *)code_page)[b] = cases[i].code[b];
			run_case(&cases[i]);
			make_relative(cases[i].state + 12, code_page, sizeof(cases[i].code));
			make_relative(cases[i].state + 20, cases[i].mem, sizeof(cases[i].mem));
		}
		if (count && write_full((const u8 *)cases, count * sizeof(cases[0])))
			return 3;
		if (bytes < sizeof(cases))
			return 0;
	}
}
