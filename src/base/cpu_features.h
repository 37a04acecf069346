/* The features of x86-64 processors that sets are made of.
 *
 * X(name, name in the C library's tunables, what it needs, leaf, register, bit, state): of CPUID;
 * state: bits of XCR0 that the kernel has to have set. The order is that of the bits in a set: new
 * ones go to the end. What is needed stands before what needs it.
 *
 * The last two are no features, but where the state of AVX-512 lies in memory when it is saved: a
 * program that uses it cannot go on where it lies elsewhere. */
#ifndef WEFT_BASE_CPU_FEATURES_H
#define WEFT_BASE_CPU_FEATURES_H

enum weft__cpu_leaf {
    CPU_LEAF_1,
    CPU_LEAF_7,
    CPU_LEAF_7_1,
    CPU_LEAF_D_1,
    CPU_LEAF_AMD,   /* 0x80000001 */
    CPU_LEAF_LAYOUT /* D.5: bit is the offset of what is saved there */
};
enum weft__cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX };

#define CPU_STATE_AVX 0x6u
#define CPU_STATE_AVX512 0xe6u
#define CPU_STATE_AMX 0x60000u

/* clang-format off */
#define WEFT__CPU_FEATURES(X)                                                                      \
    X(sse2,            "",         sse2,     CPU_LEAF_1,   CPU_EDX, 26, 0)                         \
    X(sse3,            "",         sse2,     CPU_LEAF_1,   CPU_ECX, 0,  0)                         \
    X(ssse3,           "SSSE3",    sse3,     CPU_LEAF_1,   CPU_ECX, 9,  0)                         \
    X(sse4_1,          "SSE4_1",   ssse3,    CPU_LEAF_1,   CPU_ECX, 19, 0)                         \
    X(sse4_2,          "SSE4_2",   sse4_1,   CPU_LEAF_1,   CPU_ECX, 20, 0)                         \
    X(cx16,            "",         sse2,     CPU_LEAF_1,   CPU_ECX, 13, 0)                         \
    X(popcnt,          "POPCNT",   sse2,     CPU_LEAF_1,   CPU_ECX, 23, 0)                         \
    X(lahf,            "",         sse2,     CPU_LEAF_AMD, CPU_ECX, 0,  0)                         \
    X(movbe,           "MOVBE",    sse2,     CPU_LEAF_1,   CPU_ECX, 22, 0)                         \
    X(aes,             "",         sse2,     CPU_LEAF_1,   CPU_ECX, 25, 0)                         \
    X(pclmul,          "",         sse2,     CPU_LEAF_1,   CPU_ECX, 1,  0)                         \
    X(sha,             "",         ssse3,    CPU_LEAF_7,   CPU_EBX, 29, 0)                         \
    X(rdrand,          "",         sse2,     CPU_LEAF_1,   CPU_ECX, 30, 0)                         \
    X(rdseed,          "",         sse2,     CPU_LEAF_7,   CPU_EBX, 18, 0)                         \
    X(adx,             "",         sse2,     CPU_LEAF_7,   CPU_EBX, 19, 0)                         \
    X(bmi1,            "BMI1",     sse2,     CPU_LEAF_7,   CPU_EBX, 3,  0)                         \
    X(bmi2,            "BMI2",     sse2,     CPU_LEAF_7,   CPU_EBX, 8,  0)                         \
    X(lzcnt,           "LZCNT",    sse2,     CPU_LEAF_AMD, CPU_ECX, 5,  0)                         \
    X(erms,            "ERMS",     sse2,     CPU_LEAF_7,   CPU_EBX, 9,  0)                         \
    X(fsrm,            "",         erms,     CPU_LEAF_7,   CPU_EDX, 4,  0)                         \
    X(rtm,             "RTM",      sse2,     CPU_LEAF_7,   CPU_EBX, 11, 0)                         \
    X(sse4a,           "",         sse3,     CPU_LEAF_AMD, CPU_ECX, 6,  0)                         \
    X(clflushopt,      "",         sse2,     CPU_LEAF_7,   CPU_EBX, 23, 0)                         \
    X(clwb,            "",         sse2,     CPU_LEAF_7,   CPU_EBX, 24, 0)                         \
    X(rdpid,           "",         sse2,     CPU_LEAF_7,   CPU_ECX, 22, 0)                         \
    X(xsave,           "XSAVE",    sse2,     CPU_LEAF_1,   CPU_ECX, 27, 0)                         \
    X(xsavec,          "XSAVEC",   xsave,    CPU_LEAF_D_1, CPU_EAX, 1,  0)                         \
    X(avx,             "AVX",      xsave,    CPU_LEAF_1,   CPU_ECX, 28, CPU_STATE_AVX)             \
    X(f16c,            "",         avx,      CPU_LEAF_1,   CPU_ECX, 29, CPU_STATE_AVX)             \
    X(fma,             "FMA",      avx,      CPU_LEAF_1,   CPU_ECX, 12, CPU_STATE_AVX)             \
    X(fma4,            "FMA4",     avx,      CPU_LEAF_AMD, CPU_ECX, 16, CPU_STATE_AVX)             \
    X(avx2,            "AVX2",     avx,      CPU_LEAF_7,   CPU_EBX, 5,  CPU_STATE_AVX)             \
    X(gfni,            "",         sse2,     CPU_LEAF_7,   CPU_ECX, 8,  0)                         \
    X(vaes,            "",         avx,      CPU_LEAF_7,   CPU_ECX, 9,  CPU_STATE_AVX)             \
    X(vpclmul,         "",         avx,      CPU_LEAF_7,   CPU_ECX, 10, CPU_STATE_AVX)             \
    X(avx_vnni,        "",         avx2,     CPU_LEAF_7_1, CPU_EAX, 4,  CPU_STATE_AVX)             \
    X(avx512f,         "AVX512F",  avx2,     CPU_LEAF_7,   CPU_EBX, 16, CPU_STATE_AVX512)          \
    X(avx512cd,        "AVX512CD", avx512f,  CPU_LEAF_7,   CPU_EBX, 28, CPU_STATE_AVX512)          \
    X(avx512dq,        "AVX512DQ", avx512f,  CPU_LEAF_7,   CPU_EBX, 17, CPU_STATE_AVX512)          \
    X(avx512bw,        "AVX512BW", avx512f,  CPU_LEAF_7,   CPU_EBX, 30, CPU_STATE_AVX512)          \
    X(avx512vl,        "AVX512VL", avx512f,  CPU_LEAF_7,   CPU_EBX, 31, CPU_STATE_AVX512)          \
    X(avx512er,        "AVX512ER", avx512f,  CPU_LEAF_7,   CPU_EBX, 27, CPU_STATE_AVX512)          \
    X(avx512pf,        "AVX512PF", avx512f,  CPU_LEAF_7,   CPU_EBX, 26, CPU_STATE_AVX512)          \
    X(avx512ifma,      "",         avx512f,  CPU_LEAF_7,   CPU_EBX, 21, CPU_STATE_AVX512)          \
    X(avx512vbmi,      "",         avx512f,  CPU_LEAF_7,   CPU_ECX, 1,  CPU_STATE_AVX512)          \
    X(avx512vbmi2,     "",         avx512f,  CPU_LEAF_7,   CPU_ECX, 6,  CPU_STATE_AVX512)          \
    X(avx512vnni,      "",         avx512f,  CPU_LEAF_7,   CPU_ECX, 11, CPU_STATE_AVX512)          \
    X(avx512bitalg,    "",         avx512f,  CPU_LEAF_7,   CPU_ECX, 12, CPU_STATE_AVX512)          \
    X(avx512vpopcntdq, "",         avx512f,  CPU_LEAF_7,   CPU_ECX, 14, CPU_STATE_AVX512)          \
    X(avx512bf16,      "",         avx512f,  CPU_LEAF_7_1, CPU_EAX, 5,  CPU_STATE_AVX512)          \
    X(avx512fp16,      "",         avx512bw, CPU_LEAF_7,   CPU_EDX, 23, CPU_STATE_AVX512)          \
    X(amx_tile,        "",         xsave,    CPU_LEAF_7,   CPU_EDX, 24, CPU_STATE_AMX)             \
    X(amx_int8,        "",         amx_tile, CPU_LEAF_7,   CPU_EDX, 25, CPU_STATE_AMX)             \
    X(amx_bf16,        "",         amx_tile, CPU_LEAF_7,   CPU_EDX, 22, CPU_STATE_AMX)             \
    X(avx512_at_1088,  "",         xsave,    CPU_LEAF_LAYOUT, CPU_EBX, 1088, CPU_STATE_AVX512)     \
    X(avx512_at_832,   "",         xsave,    CPU_LEAF_LAYOUT, CPU_EBX, 832,  CPU_STATE_AVX512)
/* clang-format on */

#define WEFT__CPU_INDEX(name, libc, needs, leaf, reg, bit, state) CPU_##name,
enum weft__cpu_feature { WEFT__CPU_FEATURES(WEFT__CPU_INDEX) CPU_FEATURES_N };
_Static_assert(CPU_FEATURES_N <= 64, "a set is a word");

#endif
