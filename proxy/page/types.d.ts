/** What the page's modules hand to each other. */

/** What the address says: everything that a link restores. */
export interface View {
  tab: "explore" | "proxy";
  project: string;
  /** Numbers of runs, in the order in which they were chosen. */
  runs: string[];
  metrics: string[];
  /** What the x axis counts. */
  x: "step" | "time";
  log: boolean;
  /** Time constant of the smoothing, in steps; 0 is none. */
  smooth: number;
  line: "mean" | "last";
  band: boolean;
  /** Whether all metrics share one chart. */
  overlay: boolean;
  /** The window on the x axis, in its unit (steps, or seconds since 1970); null where all is shown. */
  from: number | null;
  to: number | null;
}

export interface Columns {
  step: number[];
  time: (number | null)[];
  count: number[];
  min: (number | null)[];
  max: (number | null)[];
  mean: (number | null)[];
  first: (number | null)[];
  last: (number | null)[];
  nan: number[];
  inf: number[];
  neg_inf: number[];
  smoothed?: (number | null)[];
}

export interface Failure {
  code: string;
  title: string;
  detail: string;
}

/** A series as `/view/series` answers it. */
export interface Series {
  run: string;
  metric: string;
  state: "complete" | "sampled" | "empty" | "failed";
  through: number | null;
  asked_at_s: number | null;
  full_asked_at_s: number | null;
  rows: number;
  width: number;
  version: string;
  error: Failure | null;
  columns: Columns;
}

/** A series' place in a chart. `series` is undefined until it has come. */
export interface Slot {
  run: string;
  metric: string;
  label: string;
  series: Series | undefined;
}

export interface Run {
  id: number;
  name: string;
  displayId?: string;
  status: string;
  tags: string[];
  createdAt: string;
}

/** A node of the tree of metrics. `metric` is set where a metric has this very name. */
export interface TreeNode {
  label: string;
  path: string;
  metric: string | null;
  children: TreeNode[];
}

/** What a banner says: what happened, and what to do about it. */
export interface Notice {
  code: string;
  tone: "error" | "warning" | "info";
  title: string;
  detail: string;
  advice: string;
}

export interface StreamEvent {
  event: string;
  id: string;
  data: string;
}
