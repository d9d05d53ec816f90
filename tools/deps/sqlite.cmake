# SQLite: the catalog. sqlite3.c, the one-file form that the options below are made for, is generated
# from Debian's source tree with tclsh. Those that leave out syntax must be known to the generator too.
set(omit -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_SHARED_CACHE)
list(JOIN omit " " omit_text)
set(amalgamation "${CMAKE_BINARY_DIR}/sqlite")
if(NOT EXISTS "${amalgamation}/sqlite3.c")
    file(MAKE_DIRECTORY "${amalgamation}")
    # The tools that generate run here, whatever machine the library is for.
    execute_process(COMMAND env -u MAKEFLAGS make -f "${dep_src}/main.mk" "TOP=${dep_src}" "BCC=cc -g0 -O1 -w"
                            "TCC=cc" "OPTS=${omit_text}" target_source
                    WORKING_DIRECTORY "${amalgamation}" OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND tclsh "${dep_src}/tool/mksqlite3c.tcl" WORKING_DIRECTORY "${amalgamation}"
                    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endif()
dep_library(sqlite3 SOURCES "${amalgamation}/sqlite3.c" HEADERS "${amalgamation}/sqlite3.h")
dep_not_fuzzed(sqlite3)
target_compile_definitions(sqlite3 PRIVATE
    SQLITE_THREADSAFE=2                     # a connection belongs to one thread at a time
    SQLITE_DQS=0                            # "x" is a name, never a text
    SQLITE_DEFAULT_MEMSTATUS=0
    SQLITE_DEFAULT_WAL_SYNCHRONOUS=2        # an acknowledged commit is on the disk
    SQLITE_LIKE_DOESNT_MATCH_BLOBS
    SQLITE_MAX_EXPR_DEPTH=0
    SQLITE_USE_ALLOCA
    SQLITE_ENABLE_FTS5
    HAVE_FDATASYNC=1 HAVE_USLEEP=1 HAVE_LOCALTIME_R=1 HAVE_GMTIME_R=1 HAVE_STRERROR_R=1 HAVE_ISNAN=1)
# Pages lie in front of their descriptions in one allocation: the check of object sizes takes it for two.
target_compile_options(sqlite3 PRIVATE ${omit} -fno-sanitize=object-size)
