// The parts of Grafana's dashboard JSON that we generate and the viewer draws. Whatever is absent has Grafana's default.

export interface Dashboard {
  uid: string;
  title: string;
  description?: string;
  tags?: string[];
  time?: { from: string; to: string };
  refresh?: string;
  templating?: { list: Variable[] };
  annotations?: { list: AnnotationLayer[] };
  links?: Link[];
  panels: Panel[];
}

export interface GridPos {
  h: number;
  w: number;
  x: number;
  y: number;
}

export interface Variable {
  type: string;
  name: string;
  label?: string;
  /** The query that fills the choices; it names the variables that narrow them. */
  definition?: string;
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string;
  current?: { text: string | string[]; value: string | string[] };
  query?: unknown;
}

export interface AnnotationLayer {
  name: string;
  enable?: boolean;
  iconColor?: string;
}

export interface Target {
  refId: string;
  datasource?: { type?: string; uid?: string };
  /** ClickHouse: the text, and whether the answer is rows ("table") or long series ("timeseries"). */
  rawSql?: string;
  queryType?: string;
  /** Prometheus. */
  expr?: string;
  legendFormat?: string;
}

/** A panel, or a heading of the type "row" with the panels below it while it is collapsed. */
export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: GridPos;
  targets?: Target[];
  /** At most so many points over the range, as its queries would be too noisy with more. */
  maxDataPoints?: number;
  collapsed?: boolean;
  panels?: Panel[];
  options?: Options;
  fieldConfig?: { defaults?: FieldConfig; overrides?: Override[] };
  links?: Link[];
}

export interface Override {
  matcher: { id: string; options?: unknown };
  properties: { id: string; value?: unknown }[];
}

export interface FieldConfig {
  displayName?: string;
  description?: string;
  unit?: string;
  decimals?: number;
  min?: number;
  max?: number;
  /** The range of values is the field's own, not that of all. */
  fieldMinMax?: boolean;
  mappings?: Mapping[];
  thresholds?: Thresholds;
  color?: { mode: string; fixedColor?: string; seriesBy?: "last" | "min" | "max" };
  links?: Link[];
  noValue?: string;
  custom?: Custom;
}

export interface Thresholds {
  mode?: "absolute" | "percentage";
  /** In rising order; the first one's value is null, for minus infinity. */
  steps: { value: number | null; color: string }[];
}

export interface MappingResult {
  text?: string;
  color?: string;
  index?: number;
}

export type Mapping =
  | { type: "value"; options: Record<string, MappingResult> }
  | { type: "range"; options: { from: number | null; to: number | null; result: MappingResult } }
  | { type: "regex"; options: { pattern: string; result: MappingResult } }
  | { type: "special"; options: { match: string; result: MappingResult } };

export interface Link {
  title: string;
  type?: string;
  url?: string;
  tags?: string[];
  targetBlank?: boolean;
  includeVars?: boolean;
  keepTime?: boolean;
}

/** Settings of one field that its panel type knows. */
export interface Custom {
  drawStyle?: "line" | "bars" | "points";
  lineInterpolation?: "linear" | "smooth" | "stepBefore" | "stepAfter";
  lineWidth?: number;
  lineStyle?: { fill?: "solid" | "dash" | "dot" | "square"; dash?: number[] };
  fillOpacity?: number;
  fillBelowTo?: string;
  gradientMode?: string;
  showPoints?: Visibility;
  pointSize?: number | { fixed?: number; min?: number; max?: number };
  pointShape?: "circle" | "square";
  show?: "points" | "lines" | "points+lines";
  spanNulls?: boolean | number;
  stacking?: { mode?: Stacking; group?: string };
  barAlignment?: -1 | 0 | 1;
  barWidthFactor?: number;
  axisPlacement?: "auto" | "left" | "right" | "top" | "bottom" | "hidden";
  axisLabel?: string;
  axisSoftMin?: number;
  axisSoftMax?: number;
  axisCenteredZero?: boolean;
  scaleDistribution?: { type: "linear" | "log" | "symlog" | "ordinal"; log?: number };
  thresholdsStyle?: { mode: "off" | "line" | "dashed" | "area" | "line+area" | "dashed+area" | "series" };
  hideFrom?: { viz?: boolean; legend?: boolean; tooltip?: boolean };
  /** Tables. */
  width?: number;
  minWidth?: number;
  align?: "auto" | "left" | "center" | "right";
  displayMode?: string;
  cellOptions?: { type: string; mode?: string; valueDisplayMode?: string; applyToRow?: boolean; wrapText?: boolean };
  hidden?: boolean;
}

export type Visibility = "auto" | "always" | "never";
export type Stacking = "none" | "normal" | "percent";

export interface LegendOptions {
  showLegend?: boolean;
  displayMode?: "list" | "table" | "hidden";
  placement?: "bottom" | "right";
  calcs?: string[];
  sortBy?: string;
  sortDesc?: boolean;
}

export interface ReduceOptions {
  calcs?: string[];
  fields?: string;
  values?: boolean;
  limit?: number;
}

/** Matches a field of an XY chart. */
export interface FieldMatcher {
  matcher: { id: string; options?: unknown };
}

/** Settings of a panel; each type reads its own. */
export interface Options {
  legend?: LegendOptions & { show?: boolean };
  tooltip?: { mode?: "single" | "multi" | "none" | ""; sort?: "asc" | "desc" | "none" | ""; hideZeros?: boolean };
  orientation?: "auto" | "horizontal" | "vertical" | "";
  reduceOptions?: ReduceOptions;
  text?: { titleSize?: number; valueSize?: number };

  /** Stat. */
  graphMode?: "none" | "area";
  colorMode?: "value" | "background" | "background_solid" | "none";
  textMode?: "auto" | "value" | "value_and_name" | "name" | "none";
  justifyMode?: "auto" | "center";

  /** Gauges. */
  showThresholdLabels?: boolean;
  showThresholdMarkers?: boolean;
  displayMode?: "basic" | "lcd" | "gradient";
  valueMode?: "color" | "text" | "hidden";
  showUnfilled?: boolean;

  /** Bar chart, trend, state timeline. */
  xField?: string;
  colorByField?: string;
  showValue?: Visibility;
  stacking?: Stacking;
  barWidth?: number;
  groupWidth?: number;
  xTickLabelRotation?: number;
  xTickLabelMaxLength?: number;
  mergeValues?: boolean;
  rowHeight?: number;
  alignValue?: "left" | "center" | "right";

  /** Table. */
  showHeader?: boolean;
  frameIndex?: number;
  sortBy?: { displayName: string; desc?: boolean }[];
  cellHeight?: "sm" | "md" | "lg";
  footer?: { show?: boolean; reducer?: string[]; fields?: string[]; countRows?: boolean };

  /** Heat map. */
  calculate?: boolean;
  color?: { mode?: "scheme" | "opacity"; scheme?: string; fill?: string; scale?: "linear" | "exponential"; exponent?: number; steps?: number; reverse?: boolean; min?: number; max?: number };
  filterValues?: { le?: number; ge?: number };
  rowsFrame?: { value?: string; layout?: "le" | "ge" | "unknown" | "auto" };
  cellGap?: number;
  cellValues?: { unit?: string; decimals?: number };
  yAxis?: { unit?: string; decimals?: number; reverse?: boolean; min?: number; max?: number; axisLabel?: string; axisPlacement?: Custom["axisPlacement"] };

  /** Histogram. */
  bucketCount?: number;
  bucketSize?: number;
  bucketOffset?: number;
  combine?: boolean;

  /** XY chart. */
  mapping?: "auto" | "manual";
  series?: { name?: { fixed?: string }; frame?: FieldMatcher; x?: FieldMatcher; y?: FieldMatcher; color?: FieldMatcher; size?: FieldMatcher }[];

  /** Text. */
  mode?: "markdown" | "html" | "code";
  content?: string;
}
