/**
 * Table: every line was assembled by GNU as 2.40 (`as --32`, .intel_syntax noprefix) and its bytes recorded here, so a wrong
 * opcode, ModRM, prefix or choice of form in the instruction table shows up as a different byte.
 */
import { describe, expect, it } from 'vitest'
import { assemble } from './assembler.ts'

const GNU_AS = `
mov al, bl | 88d8
mov eax, ebx | 89d8
mov ax, bx | 6689d8
mov eax, [ebx] | 8b03
mov [ebx+4], eax | 894304
mov dword ptr [ebx+0x1234], 5 | c7833412000005000000
mov byte ptr [esp], 5 | c6042405
mov word ptr [ebp], 5 | 66c745000500
mov eax, [ebp+esi*4-8] | 8b44b5f8
mov eax, [esi*8+0x100] | 8b04f500010000
mov eax, [esp+ecx] | 8b040c
mov al, ds:[0x1234] | a034120000
mov ds:[0x1234], eax | a334120000
mov ecx, ds:[0x1234] | 8b0d34120000
mov ax, fs:[0x10] | 6466a110000000
mov dl, es:[edi] | 268a17
mov eax, 0xffffffff | b8ffffffff
mov cx, 0x1234 | 66b93412
mov bl, -1 | b3ff
mov ds, eax | 8ed8
mov ds, ax | 8ed8
mov es, word ptr [ebx] | 8e03
mov eax, ds | 8cd8
mov ax, ss | 668cd0
mov word ptr [ebx], gs | 8c2b
mov cr0, eax | 0f22c0
mov eax, cr3 | 0f20d8
mov cr4, ecx | 0f22e1
mov dr7, eax | 0f23f8
mov edx, dr6 | 0f21f2
mov [bx+si+4], eax | 67894004
mov al, [bp] | 678a4600
mov al, [bp+di+0x1234] | 678a833412
mov al, [si] | 678a04
mov al, [di-1] | 678a45ff
mov al, [bx] | 678a07
push eax | 50
push cx | 6651
push 5 | 6a05
push -129 | 687fffffff
push 0x80 | 6880000000
push dword ptr [eax] | ff30
push word ptr [eax] | 66ff30
push ds | 1e
push fs | 0fa0
push gs | 0fa8
push es | 06
push cs | 0e
push ss | 16
pop eax | 58
pop bx | 665b
pop dword ptr [esp+4] | 8f442404
pop ds | 1f
pop fs | 0fa1
pop gs | 0fa9
pop es | 07
pop ss | 17
pushad | 60
popad | 61
pushfd | 9c
popfd | 9d
add eax, ebx | 01d8
add [eax], bl | 0018
add eax, [ebx] | 0303
add al, 5 | 0405
add bl, 5 | 80c305
add eax, 5 | 83c005
add eax, 500 | 05f4010000
add ebx, 500 | 81c3f4010000
add ebx, -128 | 83c380
add ebx, 128 | 81c380000000
add bx, 0xffff | 6683c3ff
add dword ptr [ebx], 1 | 830301
add byte ptr [ebx], 1 | 800301
add word ptr [ebx], 0x100 | 6681030001
or eax, 1 | 83c801
adc edx, 0 | 83d200
sbb edx, edx | 19d2
and esp, -16 | 83e4f0
sub esp, 12 | 83ec0c
xor eax, eax | 31c0
cmp byte ptr [esi], 'a' | 803e61
cmp ax, 5 | 6683f805
cmp eax, 0x80000000 | 3d00000080
test al, al | 84c0
test eax, eax | 85c0
test eax, 0x200 | a900020000
test bl, 1 | f6c301
test dword ptr [ebx+4], 0x10000 | f7430400000100
test [ebx], ecx | 850b
test ecx, [ebx] | 850b
inc eax | 40
inc cx | 6641
inc byte ptr [eax] | fe00
inc dword ptr [eax] | ff00
inc bl | fec3
dec edi | 4f
dec word ptr [eax] | 66ff08
not eax | f7d0
neg cl | f6d9
mul ebx | f7e3
imul cl | f6e9
imul eax, ebx | 0fafc3
imul eax, ebx, 5 | 6bc305
imul eax, [ebx], 500 | 6903f4010000
imul ecx, 12 | 6bc90c
imul cx, cx, 300 | 6669c92c01
div ecx | f7f1
idiv word ptr [ebx] | 66f73b
shl eax, 1 | d1e0
shl eax, 4 | c1e004
shl eax, cl | d3e0
shr bl, 3 | c0eb03
sar word ptr [eax], 1 | 66d138
rol ecx, 5 | c1c105
ror cl, cl | d2c9
rcl eax, 1 | d1d0
rcr dword ptr [ebx], 31 | c11b1f
shld eax, ebx, 5 | 0fa4d805
shrd [ecx], ebx, cl | 0fad19
lea eax, [ebx+ecx*2+5] | 8d444b05
lea cx, [ebx] | 668d0b
lea edx, [eax+eax*4] | 8d1480
xchg eax, ecx | 91
xchg ecx, eax | 91
xchg ebx, ecx | 87cb
xchg [ebx], ecx | 870b
xchg ecx, [ebx] | 870b
xchg al, bl | 86d8
xchg ax, si | 6696
movzx eax, bl | 0fb6c3
movzx eax, byte ptr [ebx] | 0fb603
movzx ax, bl | 660fb6c3
movzx ecx, word ptr [ebx] | 0fb70b
movzx ecx, dx | 0fb7ca
movsx eax, al | 0fbec0
movsx edx, word ptr [ebp-4] | 0fbf55fc
les eax, [ebx] | c403
lds eax, [ebx] | c503
lss esp, [ebx] | 0fb223
lfs eax, [ebx] | 0fb403
lgs eax, [ebx] | 0fb503
bswap edx | 0fca
cmpxchg [ebx], ecx | 0fb10b
lock cmpxchg [ebx], ecx | f00fb10b
cmpxchg bl, cl | 0fb0cb
xadd [ebx], eax | 0fc103
lock xadd byte ptr [ebx], al | f00fc003
cmpxchg8b qword ptr [esi] | 0fc70e
xlatb | d7
cbw | 6698
cwde | 98
cwd | 6699
cdq | 99
lahf | 9f
sahf | 9e
bt eax, 5 | 0fbae005
bt [ebx], ecx | 0fa30b
bts dword ptr [ebx], 31 | 0fba2b1f
btr ecx, eax | 0fb3c1
btc word ptr [ebx], 3 | 660fba3b03
bsf eax, ebx | 0fbcc3
bsr ecx, [ebx] | 0fbd0b
daa | 27
das | 2f
aaa | 37
aas | 3f
aam | d40a
aad | d50a
aam 7 | d407
sete al | 0f94c0
setg byte ptr [ebx] | 0f9f03
cmovne eax, [ebx] | 0f4503
cmovl cx, dx | 660f4cca
jmp eax | ffe0
jmp dword ptr [eax*4+0x1000] | ff248500100000
call ebx | ffd3
call dword ptr [ebx+8] | ff5308
jmp fword ptr [ebx] | ff2b
call fword ptr [0x1234] | ff1d34120000
ret | c3
ret 8 | c20800
retf | cb
retf 4 | ca0400
iretd | cf
int 0x80 | cd80
int3 | cc
into | ce
bound eax, [ebx] | 6203
enter 16, 0 | c8100000
leave | c9
movsb | a4
movsw | 66a5
movsd | a5
rep movsb | f3a4
rep movsd | f3a5
rep stosd | f3ab
repe cmpsb | f3a6
repne scasb | f2ae
lodsb | ac
lodsd | ad
stosw | 66ab
scasd | af
cmpsd | a7
insb | 6c
outsd | 6f
rep insw | 66f36d
in al, 0x60 | e460
in eax, 0x60 | e560
in al, dx | ec
in ax, dx | 66ed
out 0x80, al | e680
out dx, al | ee
out dx, eax | ef
out 0x70, ax | 66e770
hlt | f4
cmc | f5
clc | f8
stc | f9
cli | fa
sti | fb
cld | fc
std | fd
pause | f390
nop | 90
nop dword ptr [eax] | 0f1f00
nop word ptr [eax+eax*1+0x100] | 660f1f840000010000
clts | 0f06
invd | 0f08
wbinvd | 0f09
ud2 | 0f0b
wrmsr | 0f30
rdtsc | 0f31
rdmsr | 0f32
sysenter | 0f34
sysexit | 0f35
cpuid | 0fa2
sldt ax | 660f00c0
sldt eax | 0f00c0
sldt word ptr [ebx] | 0f0003
str word ptr [ebx] | 0f000b
lldt cx | 0f00d1
lldt word ptr [ecx] | 0f0011
ltr ax | 0f00d8
verr ax | 0f00e0
verw word ptr [eax] | 0f0028
sgdt [eax] | 0f0100
sidt [eax] | 0f0108
lgdt [eax] | 0f0110
lidt [esp+2] | 0f015c2402
smsw eax | 0f01e0
smsw ax | 660f01e0
lmsw ax | 0f01f0
invlpg [eax] | 0f0138
lar eax, ebx | 0f02c3
lar ax, word ptr [ebx] | 660f0203
lsl ecx, edx | 0f03ca
arpl cx, dx | 63d1
arpl [ebx], dx | 6313
lock inc dword ptr [eax] | f0ff00
lock and byte ptr fs:[ebx], 0x7f | 64f080237f
lock add word ptr fs:[bx], ax | 646766f00107
fninit | dbe3
fnstsw ax | dfe0
fldcw [ebx] | d92b
fnstcw word ptr [ebx] | d93b
fld1 | d9e8
fld qword ptr [ebx] | dd03
fstp tbyte ptr [ebx] | db3b
fild dword ptr [ebx] | db03
fistp qword ptr [ebx] | df3b
fxsave [ebx] | 0fae03
fxrstor [ebx] | 0fae0b
fnsave [ebx] | dd33
frstor [ebx] | dd23
fld st(3) | d9c3
faddp | dec1
pushfw | 669c
popfw | 669d
iretw | 66cf
mov eax, [0x1234] | a134120000
mov ebx, [ebx+0xffffffff] | 8b5bff
mov eax, [ebp] | 8b4500
mov eax, [esp+0] | 8b0424
mov eax, [ebx+128] | 8b8380000000
mov eax, [ebx-128] | 8b4380
mov eax, ss:[ebx+4] | 368b4304
mov eax, gs:[ecx+edx*2] | 658b0451
mov eax, ss:[ebp+4] | 8b4504
mov eax, ds:[ebp+4] | 3e8b4504
mov eax, ds:[ebx] | 8b03
add ecx, ecx | 01c9
imul ecx, ecx | 0fafc9
lar ecx, ecx | 0f02c9
arpl cx, cx | 63c9
xchg edx, edx | 87d2
bsf ecx, ecx | 0fbcc9
test ecx, ecx | 85c9
shld ecx, ecx, 3 | 0fa4c903
`

describe('bytes agree with GNU as', () => {
  const cases = GNU_AS.trim()
    .split('\n')
    .map((line) => line.split(' | ') as [string, string])

  it.each(cases)('%s', (source, bytes) => {
    const assembled = [...assemble(source, { origin: 0 }).bytes]
    expect(assembled.map((byte) => byte.toString(16).padStart(2, '0')).join('')).toBe(bytes)
  })
})
