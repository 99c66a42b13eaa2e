/* Whether the Gregorian calendar gives the year a 29 February. */
int leap_year(long year);
