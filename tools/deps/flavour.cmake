# How each flavour compiles, for the dependencies and for berth alike: a sanitizer sees only what
# was built with it. Read after project().
#   release  what is shipped: small, static when the board's toolchain file says so
#   asan     address and undefined-behaviour sanitizers: what the tests run
#   tsan     data races
#   fuzz     clang's libFuzzer with the sanitizers of asan
set(BERTH_FLAVOUR "release" CACHE STRING "release, asan, tsan or fuzz")
set_property(CACHE BERTH_FLAVOUR PROPERTY STRINGS release asan tsan fuzz)

if(BERTH_FLAVOUR STREQUAL "release")
    set(flavour_compile -O2 -g -fstack-protector-strong -ffunction-sections -fdata-sections)
    set(flavour_link -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
elseif(BERTH_FLAVOUR STREQUAL "asan")
    set(flavour_sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
    set(flavour_compile -O1 -g -fno-omit-frame-pointer ${flavour_sanitize})
    set(flavour_link ${flavour_sanitize})
elseif(BERTH_FLAVOUR STREQUAL "tsan")
    set(flavour_compile -O1 -g -fno-omit-frame-pointer -fsanitize=thread)
    set(flavour_link -fsanitize=thread)
elseif(BERTH_FLAVOUR STREQUAL "fuzz")
    set(flavour_sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
    set(flavour_compile -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link ${flavour_sanitize})
    set(flavour_link ${flavour_sanitize})
else()
    message(FATAL_ERROR "BERTH_FLAVOUR is '${BERTH_FLAVOUR}': release, asan, tsan or fuzz")
endif()
add_compile_options(${flavour_compile})
add_link_options(${flavour_link})
