# civetweb: the HTTP server. Source only: src/http/ compiles civetweb.c into its own file, to reach
# what the public interface hides.
file(COPY "${dep_src}/src/" "${dep_src}/include/civetweb.h"
     DESTINATION "${DEPS_OUT}/src/civetweb"
     FILES_MATCHING PATTERN "*.c" PATTERN "*.h" PATTERN "*.inl"
     PATTERN "third_party" EXCLUDE PATTERN "main.c" EXCLUDE)
