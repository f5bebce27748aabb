package plan

// ForeseeFor is Foresee that breaks off after so many plans.
var ForeseeFor = foresee
