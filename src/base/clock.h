/* clock.h - wall clock for records, monotonic clock for durations. */
#ifndef BERTH_BASE_CLOCK_H
#define BERTH_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_unix_ms(void); /* Unix milliseconds, UTC; may jump */
int64_t clock_mono_ms(void); /* since some fixed point of this boot; never goes back */
int64_t clock_mono_us(void);

/* "2026-01-31T12:34:56.789Z". out holds CLOCK_RFC3339_LEN + 1 bytes. */
#define CLOCK_RFC3339_LEN 24
void clock_rfc3339(int64_t unix_ms, char out[CLOCK_RFC3339_LEN + 1]);

#endif
