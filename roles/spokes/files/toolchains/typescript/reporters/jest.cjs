// Jest's reporter: jest-junit, with all that it can tell, whatever options it has in the project.
'use strict';

const JestJunit = require('jest-junit');

const OPTIONS = {
  JEST_JUNIT_OUTPUT_FILE: process.env.CODEBUDDY_REPORT,
  JEST_JUNIT_UNIQUE_OUTPUT_NAME: 'false',
  JEST_JUNIT_REPORT_TEST_SUITE_ERRORS: 'true',
  JEST_JUNIT_ADD_FILE_ATTRIBUTE: 'true',
  JEST_JUNIT_FILE_PATH_PREFIX: '',
  JEST_JUNIT_CLASSNAME: '{classname}',
  JEST_JUNIT_TITLE: '{title}',
  JEST_JUNIT_ANCESTOR_SEPARATOR: ' > ',
  JEST_JUNIT_NO_STACK_TRACE: 'false',
};

module.exports = function (config, options) {
  JestJunit.call(this, config, options);
  const complete = this.onRunComplete;
  // A project's own jest-junit may run beside this one; the options are read before anything is waited for.
  this.onRunComplete = (...results) => {
    const before = { ...process.env };
    Object.assign(process.env, OPTIONS);
    const done = complete.apply(this, results);
    for (const name of Object.keys(OPTIONS)) {
      if (name in before) process.env[name] = before[name];
      else delete process.env[name];
    }
    return done;
  };
};
