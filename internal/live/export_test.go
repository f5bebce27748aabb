package live

// Columns is columns, for tests of the package from outside.
var Columns = columns
