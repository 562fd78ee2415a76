/** uPlot is loaded by a script element of its own, and then is a global. */
declare const uPlot: typeof import("uplot");
