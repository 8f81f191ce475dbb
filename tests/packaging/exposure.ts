/** The most that `systemd-analyze security` may rate the unit: systemd's scale goes from 0, safe, to 10. */
export const EXPOSURE_MAX = 3.0;
