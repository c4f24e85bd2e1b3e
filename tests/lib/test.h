/* What every unit test includes: cmocka with its prerequisites. */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define assert_ok(expr) assert_int_equal((expr), OK)
#define assert_err(want, expr) assert_int_equal((expr), (want))

#endif
