# inih: settings files. The macros change the handler's type, so whoever includes ini.h needs them too:
# they are written into the installed header. A line number for every setting is the reason for most.
file(READ "${dep_src}/ini.h" header)
string(REPLACE "#define INI_H\n" "#define INI_H
#define INI_HANDLER_LINENO 1
#define INI_MAX_LINE 4096
#define INI_USE_STACK 1
#define INI_ALLOW_MULTILINE 0
#define INI_ALLOW_INLINE_COMMENTS 1
#define INI_CALL_HANDLER_ON_NEW_SECTION 0
#define INI_STOP_ON_FIRST_ERROR 1
" header "${header}")
file(WRITE "${dep_src}/ini.h" "${header}")
dep_library(inih SOURCES "${dep_src}/ini.c" HEADERS "${dep_src}/ini.h")
