// Mocha's reporter: its Spec for people, and its XUnit in a file.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const library = path.join(path.dirname(fs.realpathSync(process.argv[1])), '../lib/reporters');
const { Base, Spec, XUnit } = require(path.join(library, fs.existsSync(path.join(library, 'index.cjs')) ? 'index.cjs' : 'index.js'));

module.exports = class extends Base {
  constructor(runner, options) {
    super(runner, options);
    new Spec(runner, options);
    const reporterOptions = { ...options.reporterOptions, output: process.env.CODEBUDDY_REPORT, showRelativePaths: false };
    this.report = new XUnit(runner, { ...options, reporterOption: reporterOptions, reporterOptions });
  }

  done(failures, end) {
    this.report.done(failures, end);
  }
};
