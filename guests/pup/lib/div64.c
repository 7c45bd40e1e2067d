/*
 * div64.c - 64-bit division. An i386 divides 64 bits by 32 in one instruction, but only if the quotient fits in 32
 * bits; for `a / b` on 64-bit integers the compiler calls these four functions, which usually come with it in libgcc.
 *
 * A divisor of 32 bits takes two steps of school division, with 2^32 as the base:
 *
 *        high : low  /  d   =   (high / d) : ((high % d) : low) / d
 *
 * A longer divisor is rare (nobody here divides by more than four seconds in nanoseconds): shift and subtract.
 */
#include "types.h"

u64 __udivmoddi4(u64 n, u64 d, u64 *rest);
u64 __udivdi3(u64 n, u64 d);
u64 __umoddi3(u64 n, u64 d);
s64 __divdi3(s64 n, s64 d);
s64 __moddi3(s64 n, s64 d);

u64 __udivmoddi4(u64 n, u64 d, u64 *rest)
{
    if ((d >> 32) == 0) {
        u32 divisor = (u32)d, high = (u32)(n >> 32), low = (u32)n;
        u32 q_high = high / divisor, r = high % divisor, q_low;
        asm("divl %4" : "=a"(q_low), "=d"(r) : "a"(low), "d"(r), "r"(divisor) : "cc");
        if (rest)
            *rest = r;
        return ((u64)q_high << 32) | q_low;
    }
    u64 q = 0, r = 0;
    for (int bit = 63; bit >= 0; bit--) {
        r = (r << 1) | ((n >> bit) & 1);
        if (r >= d) {
            r -= d;
            q |= 1ull << bit;
        }
    }
    if (rest)
        *rest = r;
    return q;
}

u64 __udivdi3(u64 n, u64 d)
{
    return __udivmoddi4(n, d, NULL);
}

u64 __umoddi3(u64 n, u64 d)
{
    u64 rest;
    __udivmoddi4(n, d, &rest);
    return rest;
}

s64 __divdi3(s64 n, s64 d)
{
    u64 q = __udivmoddi4(n < 0 ? -(u64)n : (u64)n, d < 0 ? -(u64)d : (u64)d, NULL);
    return (n < 0) != (d < 0) ? -(s64)q : (s64)q;
}

s64 __moddi3(s64 n, s64 d)
{
    u64 rest;
    __udivmoddi4(n < 0 ? -(u64)n : (u64)n, d < 0 ? -(u64)d : (u64)d, &rest);
    return n < 0 ? -(s64)rest : (s64)rest;
}
