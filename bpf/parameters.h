/* SPDX-License-Identifier: GPL-2.0 */
#ifndef XDPSTEER_PARAMETERS_H
#define XDPSTEER_PARAMETERS_H

#include "steer.h"

/* Set before load; the verifier then knows the values as constants. */
const volatile struct steer_parameters parameters = { .worker_count = 1 };

#endif
